import { type Cidr, ipOfBytes, parseCidr } from "../../util/ip-address.ts";

/** What is a whole eighth of all addresses and more is nobody's own: a proxy that takes over connections of others has such a route. */
const EVERYWHERE_BITS = 7;
const RTF_LOCAL = 0x80000000;

/**
 * What a kernel answers at itself, IPv4: also at addresses of interfaces without a cable, and at routes to itself. Pure.
 * @param text proc(5)'s net/fib_trie: of each table an address on one line, and its routes on those behind it
 */
export function localIpv4(text: string): Cidr[] {
  const found = new Map<string, Cidr>();
  let isOfHost = false;
  let address = "";
  for (const line of text.split("\n")) {
    // Others ("Id 100:") are asked for marked packets, say.
    if (/^\S/.test(line)) isOfHost = /^(Main|Local):/.test(line);
    address = /^\s*\|-- (\S+)$/.exec(line)?.[1] ?? address;
    const bits = /^\s*(\/\d+) host LOCAL\b/.exec(line)?.[1];
    const own = isOfHost && bits !== undefined ? parseCidr(address + bits) : undefined;
    if (own !== undefined && own.prefix > EVERYWHERE_BITS) found.set(address + bits, own);
  }
  return [...found.values()];
}

/**
 * The same for IPv6. Pure.
 * @param text proc(5)'s net/ipv6_route: a route on each line, destination, prefix and flags among its hexadecimal columns
 */
export function localIpv6(text: string): Cidr[] {
  return text.split("\n").flatMap((line) => {
    const [destination = "", bits = "", , , , , , , flags = ""] = line.trim().split(/\s+/);
    const address = ipOfBytes(Buffer.from(destination, "hex"));
    const prefix = Number.parseInt(bits, 16);
    const isLocal = Number.parseInt(flags, 16) >= RTF_LOCAL;
    return isLocal && address?.family === 6 && prefix > EVERYWHERE_BITS ? [{ address, prefix }] : [];
  });
}
