import { expect, test } from "vitest";
import { addressClashes, parseRoutes, routeText } from "../../../src/network/address-clash.ts";

const HEAD = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";
const line = (name: string, destination: string, mask: string, flags = "0001"): string =>
  `${name}\t${destination}\t00000000\t${flags}\t0\t0\t0\t${mask}\t0\t0\t0\n`;

const clashes = (routes: string): string[] =>
  addressClashes("10.213", parseRoutes(HEAD + routes)).map(
    ({ kind, route }) => `${kind} ${routeText(route)}`,
  );

test("routes are read as the kernel writes them", () => {
  expect(parseRoutes(HEAD + line("eth0", "000A80C0", "00FFFFFF")).map(routeText)).toEqual([
    "192.128.10.0/24 (eth0)",
  ]);
  expect(parseRoutes("")).toEqual([]);
});

test.each([
  [
    "a network of the same addresses",
    line("docker0", "0000D50A", "0000FFFF"),
    ["taken 10.213.0.0/16 (docker0)"],
  ],
  ["a part of them", line("br-1", "0005D50A", "00FFFFFF"), ["taken 10.213.5.0/24 (br-1)"]],
  ["a larger network", line("tun0", "0000000A", "000000FF"), ["hidden 10.0.0.0/8 (tun0)"]],
  ["the default route", line("eth0", "00000000", "00000000"), []],
  ["half of everything, as a VPN has it", line("tun0", "00000000", "00000080"), []],
  ["other addresses", line("eth0", "0000A8C0", "0000FFFF") + line("eth1", "0000D40A", "0000FFFF"), []],
  ["a tap's own", line("smolvm3", "0003D50A", "FCFFFFFF"), []],
  ["a route that is not up", line("docker0", "0000D50A", "0000FFFF", "0000"), []],
])("of %s is said what it means for the taps", (_what, routes, expected) => {
  expect(clashes(routes)).toEqual(expected);
});
