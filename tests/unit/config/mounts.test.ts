import { expect, test } from "vitest";
import { checkMounts, guestPlace } from "../../../src/config/mounts.ts";

test("a list of mounts is checked", () => {
  const good = { host: "./src", guest: "/work" };
  expect(checkMounts([])).toBeUndefined();
  expect(
    checkMounts([
      good,
      { ...good, guest: "/work/below", mode: "rw", coherence: "strict", shareAnyway: true },
    ]),
  ).toBeUndefined();
  for (const [mounts, problem] of [
    [{}, "is not an array"],
    [[1], "has an entry that is not an object"],
    [[{ ...good, modes: "rw" }], "has an entry with the unknown key 'modes'"],
    [[{ guest: "/x" }], "has an entry whose host is no path"],
    [[{ host: "a\0b", guest: "/x" }], "has an entry whose host is no path"],
    [[{ host: "a", guest: "x" }], "has an entry whose guest is no absolute path"],
    [[{ host: "a", guest: "/a/.." }], "has an entry whose guest is the root"],
    [[{ ...good, mode: "w" }], 'has an entry whose mode is not "ro", "rw" or "overlay"'],
    [[{ ...good, coherence: "none" }], 'has an entry whose coherence is not "events" or "strict"'],
    [[{ ...good, shareAnyway: 1 }], "has an entry whose shareAnyway is neither true nor false"],
    [[good, { host: "b", guest: "/a/../work/" }], "mounts two directories at '/work'"],
    [Array.from({ length: 33 }, (_, i) => ({ host: "a", guest: `/${i}` })), "has more than 32 entries"],
  ] as const)
    expect(checkMounts(mounts)).toBe(problem);
});

test("the guest's paths are as its agent wants them", () => {
  expect(guestPlace("/a//b/./c/../d/")).toBe("/a/b/d");
  expect(guestPlace("/..")).toBe("/");
});
