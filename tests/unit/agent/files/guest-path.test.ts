import { describe, expect, test } from "vitest";
import { guestPath, locate, locatedAt } from "../../../../src/agent/files/guest-path.ts";

describe("a path in the sandbox", () => {
  test.each<[string, { workdir?: string; user?: string }, string | undefined, string]>([
    ["/etc/./x//y", { workdir: "/w" }, undefined, "/etc/./x//y"],
    ["a", { workdir: "/w" }, undefined, "/w/a"],
    ["a/b", { workdir: "/w/" }, undefined, "/w/a/b"],
    ["./a//./b/", { workdir: "/w", user: "app" }, "nobody", "/w/a/b/"],
    [".", { workdir: "/w" }, undefined, "/w"],
    ["./", { workdir: "/w" }, undefined, "/w"],
    ["a/.", { workdir: "/" }, undefined, "/a/"],
    ["../a", { workdir: "/w" }, undefined, "/w/../a"],
    ["~/a", { workdir: "/w" }, undefined, "/w/~/a"],
    ["a", {}, undefined, "~/a"],
    [".", {}, undefined, "~/"],
    ["~/a", {}, undefined, "~/~/a"],
    ["a", { user: "app:app" }, undefined, "~app:app/a"],
    ["a", { user: "app" }, "nobody", "~/a"],
  ])("%j of a sandbox %j, as %j, is %j", (path, place, user, expected) => {
    expect(locate(path, place, user)).toBe(expected);
  });

  test("in a home is what the guest says, if it can be", () => {
    expect(locatedAt("/a", "/whatever")).toBe("/a");
    expect(locatedAt("~/a/b", "/home/x/a/b")).toBe("/home/x/a/b");
    expect(locatedAt("~app/", "/home/app")).toBe("/home/app");
    for (const said of ["", "a/b", "/home/x/a", "/home/x/\0/a/b", "/xa/b"]) {
      expect(() => locatedAt("~/a/b", said)).toThrow(/another path than it was asked for/);
    }
  });

  test.each(["", "a\0b", "x".repeat(4096)])("%j is none", (path) => {
    expect(() => guestPath(path)).toThrow(expect.objectContaining({ code: "CONFIG_INVALID" }));
  });
});
