import { describe, expect, test } from "vitest";
import { decideLiteral, decideName, decideResolved, rulesOf } from "../../../src/egress/decide.ts";
import { parseCidr, parseIp } from "../../../src/util/ip-address.ts";

const ip = (text: string) => parseIp(text)!;
const OWN = ["127.0.0.1", "::1", "192.168.1.5", "203.0.114.9", "2a00::9", "203.0.115.0/24"].map(
  (text) => parseCidr(text)!,
);
const rules = (allow: string[], deny: string[] = []) => rulesOf({ allow, deny });
const literal = (allow: string[], address: string, port = 443, deny: string[] = []) =>
  decideLiteral(rules(allow, deny), ip(address), port, OWN);

describe("a name", () => {
  const set = rules(
    ["example.com", "*.wild.test", "ssh.test:22", "range.test:8000-8010"],
    ["bad.wild.test", "example.com:25"],
  );
  test.each([
    ["example.com", 443, true],
    ["example.com", 1, true],
    ["example.com", 25, false],
    ["www.example.com", 443, false],
    ["notexample.com", 443, false],
    ["example.com.evil.test", 443, false],
    ["a.wild.test", 443, true],
    ["a.b.wild.test", 443, true],
    ["wild.test", 443, false],
    ["evilwild.test", 443, false],
    ["bad.wild.test", 443, false],
    ["sub.bad.wild.test", 443, true],
    ["ssh.test", 22, true],
    ["ssh.test", 23, false],
    ["range.test", 8010, true],
    ["range.test", 8011, false],
  ])("%s at port %i: %s", (name, port, allowed) => {
    expect(decideName(set, name, port).allowed).toBe(allowed);
  });

  test("of which no rule tells is not looked up, whatever ranges are open", () => {
    expect(decideName(rules(["0.0.0.0/0", "10.0.0.0/8"]), "a.test", 80)).toEqual({
      allowed: false,
      reason: "no-rule",
    });
    expect(decideName(rules([]), "a.test", 80)).toEqual({ allowed: false, reason: "no-rule" });
    expect(decideName(rules(["*"]), "a.test", 80).allowed).toBe(true);
  });

  test("is refused by the rule that is told", () => {
    expect(decideName(set, "bad.wild.test", 1)).toEqual({
      allowed: false,
      reason: "denied",
      rule: "bad.wild.test",
    });
  });
});

describe("an address that a name has", () => {
  const of = (address: string, allow: string[] = [], deny: string[] = []) =>
    decideResolved(rules(["a.test", ...allow], deny), ip(address), 443, { rule: "a.test", own: OWN });

  test("is fine if it is public", () => {
    expect(of("93.184.216.34")).toEqual({ allowed: true, rule: "a.test" });
    expect(of("2606:2800::1")).toEqual({ allowed: true, rule: "a.test" });
  });

  test.each([
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.1.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.1.1.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::127.0.0.1",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::7f00:1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "3fff::1",
    "fc00::1",
    "fd12::1",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "4000::1",
    "8000::1",
  ])("is refused if it is %s", (address) => {
    expect(of(address)).toEqual({ allowed: false, reason: "special-purpose" });
    expect(of(address, ["*", "0.0.0.0/0", "::/0"])).toEqual({ allowed: false, reason: "special-purpose" });
  });

  test.each(["169.254.169.254", "fd00:ec2::254", "100.100.100.200", "169.254.170.2"])(
    "is refused if it is the metadata of %s, also in an open range",
    (address) => {
      expect(of(address, ["169.254.0.0/16", "fc00::/7", "100.64.0.0/10"])).toEqual({
        allowed: false,
        reason: "metadata",
      });
      expect(of(address, [address]).allowed).toBe(true);
    },
  );

  test("is refused if it is this host's, unless a rule is for exactly that address", () => {
    for (const address of ["192.168.1.5", "203.0.114.9", "2a00::9"]) {
      expect(of(address, ["192.168.1.0/24", "203.0.114.0/24", "2a00::/16"])).toEqual({
        allowed: false,
        reason: "own-address",
      });
      expect(of(address, [address]).allowed).toBe(true);
    }
    // of a range that this host takes for its own
    expect(of("203.0.115.77", ["203.0.115.0/24"])).toEqual({ allowed: false, reason: "own-address" });
  });

  test.each([
    ["10.1.2.3", "10.0.0.0/8"],
    ["10.1.2.3", "10.1.2.3"],
    ["127.0.0.1", "127.0.0.0/8"],
    ["fd12::1", "fd00::/8"],
    ["64:ff9b::7f00:1", "64:ff9b::/96"],
    ["::ffff:10.0.0.1", "10.0.0.0/24"],
  ])("%s is fine where the rules name %s", (address, range) => {
    expect(of(address, [range])).toEqual({ allowed: true, rule: range });
    expect(of(address, [`${range.includes(":") ? `[${range}]` : range}:80`]).allowed).toBe(false);
  });

  test("is refused by a rule that denies it", () => {
    expect(of("93.184.216.34", [], ["93.184.0.0/16"])).toEqual({
      allowed: false,
      reason: "denied",
      rule: "93.184.0.0/16",
    });
    expect(of("10.1.2.3", ["10.0.0.0/8"], ["10.1.0.0/16"]).allowed).toBe(false);
  });
});

describe("an address that the guest used", () => {
  test("needs a rule for addresses: those for names are not for it", () => {
    expect(literal(["a.test", "*.test"], "93.184.216.34")).toEqual({ allowed: false, reason: "no-rule" });
    expect(literal(["93.184.216.0/24"], "93.184.216.34")).toEqual({ allowed: true, rule: "93.184.216.0/24" });
    expect(literal(["*"], "93.184.216.34").allowed).toBe(true);
    expect(literal(["0.0.0.0/0"], "10.0.0.1")).toEqual({ allowed: false, reason: "special-purpose" });
    expect(literal(["*"], "127.0.0.1").allowed).toBe(false);
    expect(literal(["*"], "93.184.216.34", 443, ["*:443"]).allowed).toBe(false);
  });
});
