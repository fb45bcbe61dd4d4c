import type { NetworkPolicy, NetworkRule } from "../config/network-rules.ts";
import { parseRule } from "../config/network-rules.ts";
import { type Cidr, type IpAddress, isIn } from "../util/ip-address.ts";
import { names, type Special, specialOf } from "./special-addresses.ts";

/** Why a connection is not made, or is ended. */
export type Refusal =
  /** what the guest names is no name of a host */
  | "not-a-name"
  /** a rule of `deny` names it */
  | "denied"
  /** no rule of `allow` names it */
  | "no-rule"
  /** it is no address of the public internet, and no rule names that range */
  | Special;

/** Whether something may be reached. */
export type Decision =
  | { readonly allowed: true; readonly rule: string }
  | { readonly allowed: false; readonly reason: Refusal; readonly rule?: string | undefined };

/** Rules as they are looked at. */
export interface Rules {
  readonly allow: readonly NetworkRule[];
  readonly deny: readonly NetworkRule[];
}

/** The rules of a policy that was checked. Pure. */
export function rulesOf({ allow, deny }: NetworkPolicy): Rules {
  const parsed = (texts: readonly string[]): NetworkRule[] =>
    texts.map(parseRule).filter((rule) => typeof rule !== "string");
  return { allow: parsed(allow), deny: parsed(deny) };
}

const isAtPort = ({ ports }: NetworkRule, port: number): boolean =>
  ports === undefined || (ports[0] <= port && port <= ports[1]);

function isForName({ target }: NetworkRule, name: string): boolean {
  if (target.kind === "any") return true;
  if (target.kind !== "name") return false;
  return target.below ? name.endsWith(`.${target.name}`) : name === target.name;
}

/**
 * Whether a name may be looked up for a connection to it. What it resolves to is another question: {@link decideResolved}. Pure.
 * @param name as plainName gives it
 */
export function decideName(rules: Rules, name: string, port: number): Decision {
  const meant = (rule: NetworkRule): boolean => isAtPort(rule, port) && isForName(rule, name);
  const denied = rules.deny.find(meant);
  if (denied) return { allowed: false, reason: "denied", rule: denied.text };
  const allowed = rules.allow.find(meant);
  return allowed ? { allowed: true, rule: allowed.text } : { allowed: false, reason: "no-rule" };
}

/**
 * Whether one of the addresses of a name that may be reached may be dialled. Pure.
 * @param rule the one that the name may be reached by
 * @param own what is this host's own, as it is now
 */
export function decideResolved(
  rules: Rules,
  address: IpAddress,
  port: number,
  { rule, own }: { readonly rule: string; readonly own: readonly Cidr[] },
): Decision {
  return decideAddress(rules, address, port, own, rule);
}

/** Whether an address that was not the guest's resolver's may be dialled. Pure. */
export function decideLiteral(
  rules: Rules,
  address: IpAddress,
  port: number,
  own: readonly Cidr[],
): Decision {
  return decideAddress(rules, address, port, own, undefined);
}

function decideAddress(
  rules: Rules,
  address: IpAddress,
  port: number,
  own: readonly Cidr[],
  named: string | undefined,
): Decision {
  const atPort = (rule: NetworkRule): boolean => isAtPort(rule, port);
  const denied = rules.deny.filter(atPort).find(({ target }) => covers(target, address));
  if (denied) return { allowed: false, reason: "denied", rule: denied.text };
  const special = specialOf(address, own);
  const allowed = rules.allow
    .filter(atPort)
    .find(({ target }) =>
      special === undefined
        ? covers(target, address)
        : target.kind === "addresses" && names(target.cidr, address, special),
    );
  if (allowed) return { allowed: true, rule: allowed.text };
  if (special !== undefined) return { allowed: false, reason: special };
  return named === undefined ? { allowed: false, reason: "no-rule" } : { allowed: true, rule: named };
}

function covers(target: NetworkRule["target"], address: IpAddress): boolean {
  return target.kind === "any" || (target.kind === "addresses" && isIn(address, target.cidr));
}
