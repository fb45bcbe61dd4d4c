import type { IsolationTier, LeastIsolation, LimitName } from "../config/spec.ts";
import { SmolVMError } from "../errors.ts";
import type { Bubblewrap } from "./enclosure.ts";
import { LIMITS } from "./limits.ts";

/** Why something cannot be had, and what would change that. */
export interface Refusal {
  readonly reason: string;
  /** ends in a command, where there is one */
  readonly fix?: string | undefined;
}

/** A reason, and what would change it. Pure. */
export function inWords({ reason, fix }: Refusal): string {
  return fix === undefined ? reason : `${reason}. ${fix}`;
}

/** Bubblewrap as it works here, and whether it can mount a /proc; or why it does not. */
export type BubblewrapFound =
  | { readonly bubblewrap: Bubblewrap; readonly proc: boolean }
  | { readonly refusal: Refusal };

/** Limits by scopes of the user's systemd manager. */
export interface UserScopes {
  /** the manager's socket */
  readonly manager: string;
  /** what it can limit; all, until it was asked */
  readonly limits: readonly LimitName[];
  /** why that is not all */
  readonly missing?: Refusal;
  /** it stays when the user has logged out, and with it what is in its scopes; absent: it was not asked */
  readonly lingers?: boolean;
}

/** What this host can put around VMMs. */
export interface IsolationFacts {
  /** in a user namespace */
  readonly user: BubblewrapFound;
  /** without one, so that VMMs can have uids of their own: only for root */
  readonly ownUid: BubblewrapFound;
  /** why no limits can be set by cgroups of our own */
  readonly noLimits: Refusal | undefined;
  /** who sets limits for an ordinary user; absent: this one is root, or the host is not Linux */
  readonly scopes?: UserScopes | { readonly refusal: Refusal } | undefined;
}

/** What matters of a machine. */
export interface IsolationWants {
  readonly least: LeastIsolation;
  /** its VMM needs a /proc of its own */
  readonly readsProc: boolean;
  /** its monitor is the one in Node, which must be able to reach it (hosts without Unix sockets) */
  readonly relayed: boolean;
  /** why its VMM cannot have another uid than its user's: what it needs is closed to that */
  readonly noOwnUid?: Refusal | undefined;
  /** why its VMM cannot be jailed, although it could have a uid and limits of its own */
  readonly noJail?: Refusal | undefined;
}

/** What is to be put around a machine's VMM. */
export interface EnclosurePlan {
  readonly tier: IsolationTier;
  readonly bubblewrap?: Bubblewrap;
  /** it gets a uid of its own */
  readonly ownUid: boolean;
  /** it gets a cgroup of ours, with all limits */
  readonly limited: boolean;
  /** it gets a scope, with some */
  readonly scopes?: UserScopes;
  /** why there are no limits, or not all; absent where that is the tier's matter */
  readonly whyNotLimited?: Refusal;
  /** why it is not the next better tier; absent where there is none */
  readonly whyNotNext?: Refusal;
}

/** What a plan limits. Pure. */
export function plannedLimits({
  limited,
  scopes,
}: Pick<EnclosurePlan, "limited" | "scopes">): readonly LimitName[] {
  return limited ? LIMITS : (scopes?.limits ?? []);
}

/**
 * The best tier that this host gives a machine. Pure.
 * @throws SmolVMError ISOLATION_UNAVAILABLE if that is less than what is accepted
 */
export function chooseIsolation(facts: IsolationFacts, wants: IsolationWants): EnclosurePlan {
  const plan = bestIsolation(facts, wants);
  const { tier, whyNotNext } = plan;
  if (wants.least === "auto" || RANK[tier] >= RANK[wants.least]) return plan;
  throw new SmolVMError(
    "ISOLATION_UNAVAILABLE",
    `isolation '${wants.least}' cannot be had on this host, only '${tier}': ${whyNotNext?.reason}`,
    {
      hint: whyNotNext?.fix ?? "See what this host allows: smolvm doctor",
      details: { wanted: wants.least, tier },
    },
  );
}

const RANK: Readonly<Record<IsolationTier, number>> = { none: 0, user: 1, jail: 2 };

function bestIsolation(facts: IsolationFacts, wants: IsolationWants): EnclosurePlan {
  const limited = facts.noLimits === undefined;
  const own = wants.noOwnUid === undefined ? usable(facts.ownUid, wants) : { refusal: wants.noOwnUid };
  if ("bubblewrap" in own) {
    const { bubblewrap } = own;
    const whyNotNext = facts.noLimits ?? wants.noJail;
    if (whyNotNext === undefined) return { tier: "jail", bubblewrap, ownUid: true, limited };
    return { tier: "user", bubblewrap, ownUid: true, limited, whyNotNext };
  }
  const user = usable(facts.user, wants);
  const rest = { ownUid: false, limited: false, ...scopesFor(facts, wants) };
  return "bubblewrap" in user
    ? { tier: "user", bubblewrap: user.bubblewrap, ...rest, whyNotNext: own.refusal }
    : { tier: "none", ...rest, whyNotNext: user.refusal };
}

function scopesFor(
  { scopes }: IsolationFacts,
  { relayed }: IsolationWants,
): Pick<EnclosurePlan, "scopes" | "whyNotLimited"> {
  if (scopes === undefined) return {};
  if (relayed) return { whyNotLimited: RELAYED };
  if ("refusal" in scopes) return { whyNotLimited: scopes.refusal };
  return {
    ...(scopes.limits.length === 0 ? {} : { scopes }),
    ...(scopes.missing === undefined ? {} : { whyNotLimited: scopes.missing }),
  };
}

function usable(found: BubblewrapFound, wants: IsolationWants): BubblewrapFound {
  if (wants.relayed && "bubblewrap" in found) return { refusal: RELAYED };
  if ("bubblewrap" in found && wants.readsProc && !found.proc) return { refusal: NO_PROC };
  return found;
}

const RELAYED: Refusal = { reason: "the machine's sockets are loopback TCP, which its monitor serves" };

const NO_PROC: Refusal = {
  reason: "a new /proc cannot be mounted here, as in most containers",
  fix: "Run smolvm outside of the container, or in one whose /proc is not masked (docker run --security-opt systempaths=unconfined).",
};
