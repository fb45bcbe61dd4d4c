import { describe, expect, test } from "vitest";
import { formatIp, ipOfBytes, isIn, isWithin, parseCidr, parseIp } from "../../../src/util/ip-address.ts";

describe("addresses", () => {
  test.each([
    ["0.0.0.0", "0.0.0.0"],
    ["192.0.2.255", "192.0.2.255"],
    ["::", "::"],
    ["::1", "::1"],
    ["2001:DB8::1", "2001:db8::1"],
    ["1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"],
    ["1:0:0:2:0:0:0:3", "1:0:0:2::3"],
    ["1::2:0:3:4:5:6", "1:0:2:0:3:4:5:6"],
    ["fe80::", "fe80::"],
    ["::ffff:10.0.0.1", "10.0.0.1"],
    ["::ffff:a00:1", "10.0.0.1"],
    ["64:ff9b::10.0.0.1", "64:ff9b::a00:1"],
  ])("%s is %s", (text, same) => {
    const address = parseIp(text)!;
    expect(formatIp(address)).toBe(same);
    expect(parseIp(formatIp(address))).toEqual(address);
  });

  test.each([
    "",
    "1",
    "127.1",
    "127.0.1",
    "1.2.3.4.5",
    "256.0.0.1",
    "01.2.3.4",
    "0x7f.0.0.1",
    "0x7f000001",
    "2130706433",
    "1.2.3.4 ",
    " 1.2.3.4",
    "1.2.3.-4",
    "1.2.3.4/8",
    "١.2.3.4",
    ":",
    ":::",
    "::1::",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "1:2:3:4:5:6:7::8:9",
    "12345::",
    "g::",
    "fe80::1%eth0",
    "::1.2.3",
    "1.2.3.4::",
    "::1.2.3.4:5",
    "[::1]",
  ])("'%s' is none", (text) => {
    expect(parseIp(text)).toBeUndefined();
  });

  test("of octets are those of 4 and 16, and what is mapped is IPv4", () => {
    expect(ipOfBytes([1, 2, 3])).toBeUndefined();
    expect(ipOfBytes([...new Array<number>(10).fill(0), 255, 255, 127, 0, 0, 1])).toEqual(
      parseIp("127.0.0.1"),
    );
  });
});

describe("ranges", () => {
  test.each([
    ["10.0.0.0/8", "10.255.0.1", true],
    ["10.0.0.0/8", "11.0.0.0", false],
    ["10.0.0.0/7", "11.0.0.0", true],
    ["0.0.0.0/0", "1.2.3.4", true],
    ["0.0.0.0/0", "::1", false],
    ["::/0", "1.2.3.4", false],
    ["192.0.2.7", "192.0.2.7", true],
    ["192.0.2.7", "192.0.2.8", false],
    ["::ffff:10.0.0.0/104", "10.1.1.1", true],
    ["fc00::/7", "fdff::1", true],
    ["fc00::/7", "fe00::1", false],
    ["2001:db8::/33", "2001:db8:8000::", false],
  ])("of %s: %s is in it: %s", (range, address, inside) => {
    expect(isIn(parseIp(address)!, parseCidr(range)!)).toBe(inside);
  });

  test.each([
    "10.0.0.1/8",
    "10.0.0.0/33",
    "10.0.0.0/",
    "10.0.0.0/08",
    "10.0.0.0/-1",
    "10/8",
    "::ffff:0:0/95",
    "fc00::/129",
    "/8",
    "a/8",
    "10.0.0.0/8/8",
  ])("'%s' is none", (text) => {
    expect(parseCidr(text)).toBeUndefined();
  });

  test("are within others or not", () => {
    const within = (inner: string, outer: string) => isWithin(parseCidr(inner)!, parseCidr(outer)!);
    expect(within("10.1.0.0/16", "10.0.0.0/8")).toBe(true);
    expect(within("10.0.0.0/8", "10.0.0.0/8")).toBe(true);
    expect(within("0.0.0.0/0", "10.0.0.0/8")).toBe(false);
    expect(within("11.0.0.0/8", "10.0.0.0/8")).toBe(false);
  });
});
