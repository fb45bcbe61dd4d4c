import { readFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { type Cidr, parseCidr } from "../util/ip-address.ts";
import { monotonicMs } from "../util/monotonic.ts";
import { localIpv4, localIpv6 } from "./linux/local-routes.ts";

/** What was read so short a time ago is still so, in ms: of one connection it is asked several times, and where there are thousands of routes it takes milliseconds. */
const FRESH_MS = 20;

let last: { readonly at: number; readonly networks: readonly Cidr[] } | undefined;

/**
 * Where this host is reached itself, now: its addresses, and ranges that it takes for its own. Node leaves out what belongs to an interface without a
 * carrier (a cable that is not plugged in, a bridge that nobody has joined), and the kernel answers there all the same.
 * @param freshMs how long ago it may have been read; 0: it is read
 */
export function ownNetworks(freshMs: number = FRESH_MS): readonly Cidr[] {
  const now = monotonicMs();
  if (last === undefined || now - last.at >= freshMs) last = { at: now, networks: readNetworks() };
  return last.networks;
}

function readNetworks(): Cidr[] {
  const addresses = Object.values(networkInterfaces())
    .flatMap((of) => of ?? [])
    .map(({ address }) => parseCidr(address.replace(/%.*$/, "")))
    .filter((cidr) => cidr !== undefined);
  return [...addresses, ...localIpv4(read("/proc/net/fib_trie")), ...localIpv6(read("/proc/net/ipv6_route"))];
}

/** "" where there is no such file. */
function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // not Linux
  }
}
