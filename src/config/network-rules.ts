import { type Cidr, parseCidr, rangeOf } from "../util/ip-address.ts";

/** One rule of a restricted network: what it is for, and at which ports. */
export interface NetworkRule {
  /** as it was written */
  readonly text: string;
  readonly target:
    | { readonly kind: "any" }
    /** a name, or all below it */
    | { readonly kind: "name"; readonly name: string; readonly below: boolean }
    | { readonly kind: "addresses"; readonly cidr: Cidr };
  /** first and last; undefined: all */
  readonly ports: readonly [number, number] | undefined;
}

/** What a restricted network lets through: what `deny` names is refused; of the rest, what `allow` names passes. */
export interface NetworkPolicy {
  readonly allow: readonly string[];
  readonly deny: readonly string[];
}

/** Most rules of one sandbox, allowed and denied ones together. */
export const MAX_RULES = 1024;

/** Longest name, without the dot at its end (RFC 1035). */
const MAX_NAME = 253;
const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/;

/**
 * A host name in the form in which names are compared: lower case, without the dot at its end. Undefined for what is no name, an address in any
 * notation included: resolvers take `2130706433` and `0x7f.1` for addresses, which no rule for names is meant for. Pure.
 */
export function plainName(text: string): string | undefined {
  const name = text.toLowerCase().replace(/\.$/, "");
  if (name === "" || name.length > MAX_NAME) return undefined;
  const labels = name.split(".");
  if (!labels.every((label) => LABEL.test(label))) return undefined;
  return /^(\d+|0x[0-9a-f]*)$/.test(labels.at(-1)!) ? undefined : name;
}

/** A rule from text, or what is wrong with it as the end of a sentence. Pure. */
export function parseRule(text: string): NetworkRule | string {
  if (text === "") return "is empty";
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text))
    return "is a URL: a rule names the host alone, and the port behind a colon";
  const cut = cutPorts(text);
  if (cut === undefined) return "has no port from 1 to 65535, and no such range of ports, behind its colon";
  const { subject, ports } = cut;
  if (subject === "*") return { text, target: { kind: "any" }, ports };
  const cidr = parseCidr(subject);
  if (cidr !== undefined) return { text, target: { kind: "addresses", cidr }, ports };
  const meant = rangeOf(subject);
  if (meant !== undefined) return `has bits behind its prefix: as a range it is ${meant}`;
  if (/^[\d.]+(\/\d+)?$/.test(subject) || subject.includes(":"))
    return "is neither an address nor a range of addresses";
  const below = subject.startsWith("*.");
  const name = plainName(below ? subject.slice(2) : subject);
  if (name !== undefined) return { text, target: { kind: "name", name, below }, ports };
  if (/[^ -~]/.test(subject)) return "is no name in ASCII: write it as xn--...";
  return "is no name, *.name, address or range of addresses";
}

/** What is before the ports, and these. A name or IPv4 range may have them behind a colon, one of IPv6 needs brackets for that. */
function cutPorts(text: string): { subject: string; ports: NetworkRule["ports"] } | undefined {
  const bracketed = /^\[([^\]]*)\](?::(.*))?$/.exec(text);
  const [, subject = text, ports] = bracketed ?? /^([^:]*):([^:]*)$/.exec(text) ?? [];
  if (ports === undefined || ports === "*") return { subject, ports: undefined };
  const [, first, last = first] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(ports) ?? [];
  const [low, high] = [Number(first), Number(last)];
  return low >= 1 && high <= 65_535 && low <= high ? { subject, ports: [low, high] } : undefined;
}

/** What is wrong with a list of rules, as the end of a sentence. Pure. */
export function checkRules(value: unknown): string | undefined {
  if (!Array.isArray(value)) return "is not an array of rules";
  if (value.length > MAX_RULES) return `has more than ${MAX_RULES} rules`;
  for (const rule of value) {
    if (typeof rule !== "string") return "has a rule that is not a string";
    const parsed = parseRule(rule);
    if (typeof parsed === "string")
      return `has the rule ${JSON.stringify(rule.slice(0, 80))}, which ${parsed}`;
  }
  return undefined;
}
