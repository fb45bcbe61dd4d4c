import { describe, expect, test } from "vitest";
import { checkRules, parseRule, plainName } from "../../../src/config/network-rules.ts";
import { parseConfig } from "../../../src/config/schema.ts";

describe("names", () => {
  test.each([
    ["Example.COM", "example.com"],
    ["example.com.", "example.com"],
    ["_dmarc.example.com", "_dmarc.example.com"],
    ["xn--bcher-kva.example", "xn--bcher-kva.example"],
    ["localhost", "localhost"],
    ["1.2.3.4.example", "1.2.3.4.example"],
    [`${"a".repeat(63)}.test`, `${"a".repeat(63)}.test`],
  ])("%s is compared as %s", (text, name) => {
    expect(plainName(text)).toBe(name);
  });

  test.each([
    "",
    ".",
    "..",
    "example..com",
    ".example.com",
    "example.com..",
    "-a.com",
    "a-.com",
    `${"a".repeat(64)}.test`,
    `${"a.".repeat(127)}com`,
    "a b.com",
    "a\0b.com",
    "bücher.example",
    "a/b",
    "a:80",
    "*.a",
    "1.2.3.4",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "a.0x",
    "a.1",
    "::1",
    "a@b.com",
    "a%2e.com",
  ])("'%s' is none", (text) => {
    expect(plainName(text)).toBeUndefined();
  });
});

describe("rules", () => {
  test.each([
    ["example.com", "name", undefined],
    ["*.Example.com", "name", undefined],
    ["example.com:443", "name", [443, 443]],
    ["example.com:*", "name", undefined],
    ["10.0.0.0/8:8000-8100", "addresses", [8000, 8100]],
    ["192.0.2.7", "addresses", undefined],
    ["fd00::/8", "addresses", undefined],
    ["[fd00::/8]:22", "addresses", [22, 22]],
    ["[fd00::1]", "addresses", undefined],
    ["*", "any", undefined],
    ["*:443", "any", [443, 443]],
  ])("%s is one for a %s", (text, kind, ports) => {
    const rule = parseRule(text);
    expect(rule).toMatchObject({ text, target: { kind }, ports });
  });

  test.each([
    "",
    "*.",
    "**",
    "*.*.com",
    "a.*",
    "*a.com",
    "http://a.com",
    "a.com/x",
    "a.com:0",
    "a.com:65536",
    "a.com:9-8",
    "a.com:",
    "a.com:x",
    "10.0.0.1/8",
    "10.1",
    "256.1.1.1",
    "0x7f.1",
    "[fd00::1",
    "fd00::1/130",
    "[a.com",
    "bücher.example",
    "a b",
  ])("'%s' is none, and is told why", (text) => {
    expect(parseRule(text)).toBeTypeOf("string");
    expect(checkRules([text])).toContain("which ");
  });

  test.each([
    ["https://a.com", "is a URL: a rule names the host alone, and the port behind a colon"],
    ["10.0.0.1/8", "has bits behind its prefix: as a range it is 10.0.0.0/8"],
    ["10.1.2.3/16:443", "has bits behind its prefix: as a range it is 10.1.0.0/16"],
    ["[fd00::1/8]:22", "has bits behind its prefix: as a range it is fd00::/8"],
    ["1.2.3.4/33", "is neither an address nor a range of addresses"],
  ])("'%s' %s", (text, problem) => {
    expect(parseRule(text)).toBe(problem);
  });

  test("are an array of strings, no more than 1024", () => {
    expect(checkRules("a.com")).toContain("array");
    expect(checkRules([1])).toContain("not a string");
    expect(checkRules(new Array(1025).fill("a.com"))).toContain("more than 1024");
    expect(checkRules(new Array(1024).fill("a.com"))).toBeUndefined();
    const [allow, deny] = [new Array(1024).fill("a.com"), ["b.com"]];
    expect(() => parseConfig({ network: { mode: "restricted", allow, deny } })).toThrow(
      "more than 1024 rules",
    );
  });
});
