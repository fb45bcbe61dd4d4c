import { expect, test } from "vitest";
import { networkNote, tapNetwork } from "../../../src/network/plan.ts";

test("the guest of a tap has the second address of the tap's four, and the tap's as its gateway", () => {
  expect(tapNetwork({ number: 12 }, { subnet: "10.213", dns: ["1.1.1.1"] })).toEqual({
    interface: "eth0",
    address: "10.213.12.2/30",
    gateway: "10.213.12.1",
    dns: ["1.1.1.1"],
  });
});

test("what a network reaches is said, and only of the unfiltered one that it reaches this host", () => {
  expect(networkNote("off", undefined, undefined)).toBe("no network card");
  expect(networkNote("open", "tap", undefined)).toContain("not this host");
  expect(networkNote("open", "tap", undefined, true)).toContain("and private networks, not this host");
  for (const way of ["namespace", "namespace-slirp", "process", undefined] as const)
    expect(networkNote("open", "slirp", way)).toContain("not this host");
  // of records of earlier versions, too
  expect(networkNote("open", undefined, "unfiltered")).toContain("its own services");
});
