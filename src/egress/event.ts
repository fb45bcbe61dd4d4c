import type { Refusal } from "./decide.ts";
import type { HelloFault } from "./guarded-connection.ts";
import type { RequestFault } from "./request-guard.ts";

/** What became of a connection that left a sandbox with a restricted network. */
export interface NetworkEvent {
  /** when, in ms since 1970 */
  readonly at: number;
  /**
   * `allowed`: it was connected; `denied`: it was not; `closed`: it was cut, because of what went through it or because the rules have changed; `failed`: it may be
   * reached, and was not
   */
  readonly decision: "allowed" | "denied" | "closed" | "failed";
  /** what the guest wanted to reach, control characters escaped; undefined where it used an address */
  readonly name?: string | undefined;
  /** the address that it used, or that was dialled for the name */
  readonly address?: string | undefined;
  readonly port: number;
  /** the rule that decided, as it was written */
  readonly rule?: string | undefined;
  /** why it was not `allowed` */
  readonly reason?: EventReason | undefined;
}

/** Why a connection was not made, or was ended. */
export type EventReason =
  | Refusal
  | RequestFault
  | HelloFault
  /** the name has no address that this host finds */
  | "unresolved"
  /** nobody answers there, or refuses the connection */
  | "unreachable"
  /** the guest's agent tells of more connections than may wait: its door is closed for a moment */
  | "too-many"
  /** what was allowed is so no more */
  | "rules-changed";
