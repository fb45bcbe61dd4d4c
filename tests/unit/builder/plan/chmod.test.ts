import { describe, expect, test } from "vitest";
import { changed, parseChmod } from "../../../../src/builder/plan/chmod.ts";

const becomes = (chmod: string, before: number, isDirectory = false): string =>
  changed(parseChmod(chmod), before, isDirectory).toString(8);

describe("--chmod", () => {
  test.each([
    ["755", 0o644, "755"],
    ["0644", 0o755, "644"],
    ["4750", 0o644, "4750"],
    ["0", 0o644, "0"],
    ["+x", 0o644, "755"],
    ["a+x", 0o640, "751"],
    ["+w", 0o444, "666"],
    ["-x", 0o755, "644"],
    ["u=rw,go=r", 0o777, "644"],
    ["u=rwX,go=rX", 0o600, "644"],
    ["u=rwX,go=rX", 0o700, "755"],
    ["u-x,a+X", 0o744, "755"],
    ["g=u", 0o640, "660"],
    ["go=u-w", 0o700, "755"],
    ["o=", 0o777, "770"],
    ["=", 0o777, "0"],
    ["=rx", 0o200, "555"],
    ["u+s", 0o755, "4755"],
    ["g+s", 0o755, "2755"],
    ["o+s", 0o755, "755"],
    ["+s", 0o755, "6755"],
    ["+t", 0o777, "1777"],
    ["u=rx", 0o4755, "555"],
    ["ug+w,o-r", 0o444, "660"],
  ])("%s of %o is %s", (chmod, before, wanted) => {
    expect(becomes(chmod, before)).toBe(wanted);
  });

  test("X is for directories and for what somebody may execute", () => {
    expect(becomes("u=rwX,go=rX", 0o600, true)).toBe("755");
    expect(becomes("a-x,u+X", 0o611, false)).toBe("700");
  });

  test.each([
    "",
    "8",
    "77777",
    "x",
    "u",
    "u+q",
    "+x,",
    ",+x",
    "u+rwx g-w",
    "u=ug",
    "--x ",
    "rwxr-xr-x",
    "u+uw",
  ])("'%s' is none", (chmod) => {
    expect(parseChmod(chmod)).toBeUndefined();
  });
});
