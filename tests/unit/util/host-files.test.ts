import { expect, test } from "vitest";
import { hostLinkTarget, hostMode } from "../../../src/util/host-files.ts";

test("a guest is told modes as they are; of Windows, which has none, ones by which directories can be entered", () => {
  expect(hostMode(0o104640, "linux")).toBe(0o4640);
  expect(hostMode(0o40750n, "darwin")).toBe(0o750);
  expect([0o100666, 0o40666n, 0o100444].map((mode) => hostMode(mode, "win32"))).toEqual([
    0o755, 0o755, 0o755,
  ]);
});

test("a guest is told where a symlink leads with slashes", () => {
  expect(hostLinkTarget(Buffer.from("..\\sub\\a"), "win32").toString()).toBe("../sub/a");
  expect(hostLinkTarget(Buffer.from("a\\\xff", "latin1"), "linux")).toEqual(Buffer.from("a\\\xff", "latin1"));
});
