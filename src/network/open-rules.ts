import { METADATA_IPV4, SPECIAL_IPV4 } from "../util/special-ranges.ts";

/**
 * What a guest may reach over a network that is open: the public internet over IPv4, and names. One list of rules, of which
 * the first that matches decides, is rendered as a packet filter (render-nft.ts) and for the library that filters within
 * QEMU (render-preload.ts). scripts/setup/network has the same for taps.
 */
export interface OpenRule {
  readonly verdict: "accept" | "refuse";
  /** IPv4 networks, as "10.0.0.0/8"; empty: any address; "own": where this machine itself is reached at the moment of the packet */
  readonly networks: readonly string[] | "own";
  /** destination ports, of TCP and UDP; empty: all, and what has no ports */
  readonly ports: readonly number[];
}

const DNS_PORT = 53;
/** DNS over TLS: a way around the one resolver that its port gives away. Over HTTPS it cannot be told from a web page. */
const DNS_TLS_PORT = 853;

/**
 * The rules; what none of them matches is accepted if it is IPv4. Pure.
 * @param resolvers the name servers that the guest asks: their port 53 is open, wherever they are, and no other name server's
 */
export function openRules(resolvers: readonly string[]): OpenRule[] {
  return [
    { verdict: "accept", networks: resolvers.filter(isIpv4).map(host), ports: [DNS_PORT] },
    { verdict: "refuse", networks: [], ports: [DNS_PORT, DNS_TLS_PORT] },
    { verdict: "refuse", networks: SPECIAL_IPV4, ports: [] },
    { verdict: "refuse", networks: METADATA_IPV4.map(host), ports: [] },
    { verdict: "refuse", networks: "own", ports: [] },
  ];
}

function host(address: string): string {
  return `${address}/32`;
}

/** "192.0.2.1": four numbers, none of them too large. Pure. */
export function isIpv4(text: string): boolean {
  const parts = text.split(".");
  return parts.length === 4 && parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) <= 255);
}

/**
 * The IPv4 name servers of a resolv.conf(5), in its order, as many as a resolver asks. Pure.
 * @param text the file
 */
export function nameServers(text: string): string[] {
  const found = text.split("\n").flatMap((line) => /^nameserver\s+(\S+)/.exec(line)?.[1] ?? []);
  return found.filter(isIpv4).slice(0, MAX_NAME_SERVERS);
}

/** MAXNS of resolv.h */
const MAX_NAME_SERVERS = 3;
