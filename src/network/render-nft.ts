import { type Cidr, formatIp, isWithin } from "../util/ip-address.ts";
import type { OpenRule } from "./open-rules.ts";

/** A guest's tap in such a namespace. */
export interface TapGuest {
  /** the interface */
  readonly tap: string;
  /** the one address that the guest has */
  readonly address: string;
  /** how fast it may send; what is faster is dropped, and its TCP slows down. How fast it gets packets is the tap's matter. Absent: no limit */
  readonly bytesPerSecond?: number | undefined;
}

/** The set of this machine's own addresses, empty at first: the monitor fills it and keeps it current (monitor/src/own_set.rs). */
export const OWN_SET = "inet smolvm own";

/** How many connections of a guest this machine's kernel remembers at most. As many as of one on a tap of the pool (scripts/setup/network). */
const CONNECTIONS = 2048;

/**
 * The packet filter of a network namespace in which a VMM is alone, in nft(8)'s language: what it sends is judged by the rules,
 * by its destination alone. What is refused is said at once (libslirp keeps that for itself). IPv6 is closed.
 * Nothing comes in that it has not asked for, because nothing forwards ports into it. Pure.
 * @param guest where its guest has a tap there: the same rules for what the guest sends, which has one address and speaks to nobody in the namespace itself
 * @param own what the set of this machine's addresses has in it, for who reads the filter as it is then; IPv6 does not matter
 */
export function renderNft(rules: readonly OpenRule[], guest?: TapGuest, own: readonly Cidr[] = []): string {
  const judged = rules.map(ruleText);
  return [
    "table inet smolvm {",
    ...ownSet(ownRanges(own)),
    ...chain("out", "output priority filter; policy drop", [
      // Of this namespace's kernel: what it says of the guest's packets.
      ...(guest === undefined ? [] : [`oifname "${guest.tap}" meta l4proto icmp accept`]),
      ...judged,
      "meta nfproto ipv4 accept",
    ]),
    ...(guest === undefined ? ANSWERS_ALONE : tapChains(guest, judged)),
    "}",
    "",
  ].join("\n");
}

function ownSet(elements: readonly string[]): string[] {
  const filled = elements.length === 0 ? [] : [`    elements = { ${elements.join(", ")} }`];
  return ["  set own {", "    type ipv4_addr", "    flags interval", ...filled, "  }"];
}

/** Those of IPv4, each but once: one that lies in another is no range of its own to a packet filter. */
function ownRanges(networks: readonly Cidr[]): string[] {
  const own = networks.filter(({ address }) => address.family === 4);
  const inOther = (one: Cidr): boolean =>
    own.some((other) => other.prefix < one.prefix && isWithin(one, other));
  const texts = own
    .filter((one) => !inOther(one))
    .map(({ address, prefix }) => `${formatIp(address)}/${prefix}`);
  return [...new Set(texts)].sort();
}

function tapChains({ tap, address, bytesPerSecond }: TapGuest, judged: readonly string[]): string[] {
  const from = `iifname "${tap}"`;
  return [
    // Before they are put together (-400): a fragment that is judged by its first one's ports could be read as something else further on.
    ...chain("fragments", "prerouting priority -450; policy accept", [
      `${from} ip frag-off & 0x3fff != 0 drop`,
    ]),
    ...chain("source", "prerouting priority raw; policy accept", [
      `${from} meta nfproto != ipv4 drop`,
      `${from} ip saddr != ${address} drop`,
    ]),
    ...chain("in", "input priority filter; policy accept", [`${from} ${REFUSE}`]),
    ...chain("through", "forward priority filter; policy drop", [
      ...(bytesPerSecond === undefined ? [] : [`${from} ${faster(bytesPerSecond)} drop`]),
      `${from} oifname "${tap}" ${REFUSE}`,
      // Of no connection: nothing that anybody here has to make sense of.
      `${from} ct state invalid drop`,
      `${from} ct state new ct count over ${CONNECTIONS} ${REFUSE}`,
      ...judged.map((rule) => `${from} ${rule}`),
      `${from} meta nfproto ipv4 accept`,
      `oifname "${tap}" ct state established,related accept`,
    ]),
  ];
}

function chain(name: string, hook: string, rules: readonly string[]): string[] {
  return [`  chain ${name} {`, `    type filter hook ${hook};`, ...rules.map((rule) => `    ${rule}`), "  }"];
}

/** Matches what is more than the rate, of which a second may come at once: nft's bucket is never smaller, and has the burst on top. */
function faster(bytesPerSecond: number): string {
  return `limit rate over ${bytesPerSecond} bytes/second burst ${BURST} bytes`;
}

/** Some packets must fit, in bytes. */
const BURST: number = 16 * 1024;

/** A socket of the VMM's hears of nobody that it has not asked, though libslirp would pass on what comes from anywhere. */
const ANSWERS_ALONE: readonly string[] = chain("in", "input priority filter; policy drop", [
  'iifname "lo" accept',
  "ct state established,related accept",
]);

const REFUSE = "reject with icmpx type admin-prohibited";

function ruleText({ verdict, networks, ports }: OpenRule): string {
  return [
    ...(networks.length === 0
      ? []
      : [`ip daddr ${networks === "own" ? "@own" : `{ ${networks.join(", ")} }`}`]),
    ...(ports.length === 0 ? [] : [`meta l4proto { tcp, udp } th dport { ${ports.join(", ")} }`]),
    verdict === "accept" ? "accept" : REFUSE,
  ].join(" ");
}
