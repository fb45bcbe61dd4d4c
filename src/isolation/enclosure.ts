import type { IsolationTier } from "../config/spec.ts";
import type { Scope } from "../host/systemd/scope.ts";

/** Bubblewrap as it works here. */
export interface Bubblewrap {
  /** path of bwrap */
  readonly path: string;
  /** path of our native monitor program, which takes the last step inside */
  readonly monitor: string;
  /** the namespaces are made in a user namespace, which needs no root and gives nobody another uid */
  readonly userNamespace: boolean;
}

/** A user whom the kernel knows by number alone. */
export interface VmmUser {
  readonly uid: number;
  readonly gid: number;
}

/** How a VMM is enclosed: data that a backend hands on. */
export interface Enclosure {
  readonly tier: IsolationTier;
  /** absent: nothing is around the VMM */
  readonly bubblewrap?: Bubblewrap;
  /** who the VMM becomes; absent: the user who runs smolvm */
  readonly user?: VmmUser;
  /** directory of the cgroup whose limits are in force */
  readonly cgroup?: string;
  /** where there is none of ours: a scope of the user's systemd manager, if that makes it */
  readonly scope?: Scope;
}

/** Nothing around the VMM. */
export const NO_ENCLOSURE: Enclosure = { tier: "none" };
