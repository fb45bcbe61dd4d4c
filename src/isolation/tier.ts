import type { IsolationTier, LeastIsolation, ReachedIsolation } from "../config/spec.ts";
import { SmolVMError } from "../errors.ts";
import { type Enclosure, NO_ENCLOSURE } from "./enclosure.ts";

/** Why a tier cannot be had, and what would change that. */
export interface Refusal {
  readonly reason: string;
  /** ends in a command, where there is one */
  readonly fix: string | undefined;
}

/** What this host can put around VMMs. */
export interface IsolationFacts {
  /** bubblewrap, by which VMMs get namespaces of their own, or why not */
  readonly user:
    | { readonly bubblewrap: NonNullable<Enclosure["bubblewrap"]>; readonly proc: boolean }
    | { readonly refusal: Refusal };
}

/** What matters of a machine. */
export interface IsolationWants {
  readonly least: LeastIsolation;
  /** its VMM needs a /proc of its own */
  readonly readsProc: boolean;
  /** its monitor is the one in Node, which must be able to reach it (hosts without Unix sockets) */
  readonly relayed: boolean;
}

/** What is put around a machine's VMM, and what is to be told about it. */
export interface ChosenIsolation {
  readonly enclosure: Enclosure;
  readonly reached: ReachedIsolation;
}

/**
 * The best tier that this host gives. Pure.
 * @throws SmolVMError ISOLATION_UNAVAILABLE if that is less than what is accepted
 */
export function chooseIsolation(facts: IsolationFacts, wants: IsolationWants): ChosenIsolation {
  const chosen = bestIsolation(facts, wants);
  const { tier, whyNotNext, fix } = chosen.reached;
  if (wants.least === "auto" || RANK[tier] >= RANK[wants.least]) return chosen;
  throw new SmolVMError(
    "ISOLATION_UNAVAILABLE",
    `isolation '${wants.least}' cannot be had on this host, only '${tier}': ${whyNotNext}`,
    { hint: fix ?? "See what this host allows: smolvm doctor", details: { wanted: wants.least, tier } },
  );
}

const RANK: Readonly<Record<IsolationTier, number>> = { none: 0, user: 1, jail: 2 };

function bestIsolation(facts: IsolationFacts, wants: IsolationWants): ChosenIsolation {
  const user = userTier(facts, wants);
  if ("refusal" in user) {
    const { reason, fix } = user.refusal;
    return { enclosure: NO_ENCLOSURE, reached: { tier: "none", whyNotNext: reason, fix } };
  }
  return {
    enclosure: user,
    reached: { tier: "user", whyNotNext: "jails are not built yet", fix: undefined },
  };
}

function userTier(
  { user }: IsolationFacts,
  wants: IsolationWants,
): Enclosure | { readonly refusal: Refusal } {
  if (wants.relayed) return { refusal: { reason: "its sockets are loopback TCP", fix: undefined } };
  if ("refusal" in user) return user;
  if (wants.readsProc && !user.proc) return { refusal: NO_PROC };
  return { tier: "user", bubblewrap: user.bubblewrap };
}

const NO_PROC: Refusal = {
  reason: "a new /proc cannot be mounted here, as in most containers",
  fix: "Run smolvm outside of the container, or in one whose /proc is not masked (docker run --security-opt systempaths=unconfined).",
};
