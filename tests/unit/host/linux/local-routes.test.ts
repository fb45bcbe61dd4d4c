import { expect, test } from "vitest";
import { localIpv4, localIpv6 } from "../../../../src/host/linux/local-routes.ts";
import { type Cidr, formatIp } from "../../../../src/util/ip-address.ts";

const shown = (networks: readonly Cidr[]): string[] =>
  networks.map(({ address, prefix }) => `${formatIp(address)}/${prefix}`);

test("what is the host's own is read from its tables, and not from those that are asked for marked packets", () => {
  // Linux 6.18: an address of a bridge that nobody has joined, a range that is the host's, and a transparent proxy's table.
  expect(
    shown(
      localIpv4(`Id 100:
  |-- 0.0.0.0
     /0 host LOCAL
     /8 host LOCAL
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     |-- 10.0.0.0
        /8 link UNICAST
Local:
  +-- 0.0.0.0/0 3 0 5
     +-- 11.22.33.0/26 2 0 1
        |-- 11.22.33.0
           /24 link UNICAST
        |-- 11.22.33.55
           /32 host LOCAL
     |-- 11.22.33.255
        /32 link BROADCAST
     +-- 127.0.0.0/31 1 0 0
        |-- 127.0.0.0
           /8 host LOCAL
        |-- 127.0.0.1
           /32 host LOCAL
     |-- 203.0.114.0
        /24 host LOCAL
`),
    ),
  ).toEqual(["11.22.33.55/32", "127.0.0.0/8", "127.0.0.1/32", "203.0.114.0/24"]);
});

test("of IPv6 by its flag", () => {
  const none = "00000000000000000000000000000000";
  const route = (to: string, bits: string, flags: string): string =>
    `${to} ${bits} ${none} 00 ${none} 00000000 00000004 00000000 ${flags}       v0\n`;
  const text = [
    route("26062800000000000000000000000000", "40", "00000001"),
    route(none, "00", "80000001"), // a transparent proxy's
    route("26062800000000000000000000000099", "80", "80200001"),
    route("26062802000000000000000000000000", "40", "80000001"),
  ].join("");
  expect(shown(localIpv6(text))).toEqual(["2606:2800::99/128", "2606:2802::/64"]);
  expect(localIpv6("")).toEqual([]);
});
