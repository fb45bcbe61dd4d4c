import type { IsolationTier } from "../config/spec.ts";

/** How a VMM is enclosed: data that a backend hands on. */
export interface Enclosure {
  readonly tier: IsolationTier;
  /** absent: nothing is around the VMM */
  readonly bubblewrap?: {
    /** path of bwrap */
    readonly path: string;
    /** path of our native monitor program, which takes the last step inside */
    readonly monitor: string;
    /** the namespaces are made in a user namespace, which needs no root */
    readonly userNamespace: boolean;
  };
}

/** Nothing around the VMM. */
export const NO_ENCLOSURE: Enclosure = { tier: "none" };
