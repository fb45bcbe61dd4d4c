import { describe, expect, test } from "vitest";
import { parseCopyPath } from "../../../../src/cli/args/copy-path.ts";
import { copyTarget, type PathKind } from "../../../../src/cli/args/copy-target.ts";

describe("a side of cp", () => {
  test.each([
    ["box:/etc/hosts", { kind: "guest", name: "box", path: "/etc/hosts" }],
    ["box:/a:b", { kind: "guest", name: "box", path: "/a:b" }],
    ["file", { kind: "host", path: "file" }],
    ["./a:b", { kind: "host", path: "./a:b" }],
    ["../a:b", { kind: "host", path: "../a:b" }],
    ["/a:b", { kind: "host", path: "/a:b" }],
    ["c:/temp", { kind: "guest", name: "c", path: "/temp" }],
    [".", { kind: "host", path: "." }],
    ["-", { kind: "stream", path: "-" }],
    ["./-", { kind: "host", path: "./-" }],
  ])("%j is %j", (text, path) => {
    expect(parseCopyPath(text, "linux")).toEqual(path);
  });

  test.each(["C:\\temp", "c:/temp", "\\a:b", ".\\a:b", "..\\a:b", "\\\\server\\share\\a:b"])(
    "%j is a path here on Windows",
    (path) => {
      expect(parseCopyPath(path, "win32")).toEqual({ kind: "host", path });
    },
  );

  test.each([
    ["box:", /is empty/],
    [":/etc", /names no sandbox/],
    ["", /empty/],
  ])("%j is refused", (text, message) => {
    expect(() => parseCopyPath(text, "linux")).toThrow(message);
  });
});

describe("where a copy goes", () => {
  const target = (source: string, sourceKind: PathKind, to: string, toKind: PathKind): string =>
    copyTarget({ path: source, kind: sourceKind }, { path: to, kind: toKind }, { source, target: to });

  test.each<[string, PathKind, string, PathKind, string]>([
    ["a.txt", "file", "/root", "directory", "/root/a.txt"],
    ["x/a.txt", "file", "/root/", "directory", "/root/a.txt"],
    ["a.txt", "file", "/root/b.txt", undefined, "/root/b.txt"],
    ["a.txt", "file", "/root/b.txt", "file", "/root/b.txt"],
    ["src", "directory", "/srv", "directory", "/srv/src"],
    ["src/", "directory", "/srv", "directory", "/srv/src"],
    ["src/.", "directory", "/srv", "directory", "/srv"],
    [".", "directory", "/srv", "directory", "/srv"],
    ["..", "directory", "/srv", "directory", "/srv"],
    ["/", "directory", "out", "directory", "out"],
    ["src", "directory", "/srv/new", undefined, "/srv/new"],
    ["src", "directory", "/srv/new/", undefined, "/srv/new/"],
    ["src/.", "directory", "/srv/new", undefined, "/srv/new"],
    ["/etc/hosts", "file", ".", "directory", "./hosts"],
    ["/etc/hosts", "file", "/", "directory", "/hosts"],
  ])("%s (%s) to %s (%s) is %s", (source, sourceKind, to, toKind, result) => {
    expect(target(source, sourceKind, to, toKind)).toBe(result);
  });

  test.each<[string, PathKind, string, PathKind, string]>([
    ["nope", undefined, "/root", "directory", "nope does not exist"],
    ["/dev/sda", "other", "/root", "directory", "/dev/sda is neither a file nor a directory"],
    ["a.txt/", "file", "/root", "directory", "a.txt/ is a file, not a directory"],
    ["a.txt", "file", "/new/", undefined, "the directory /new/ does not exist"],
    ["a.txt", "file", "/b.txt/", "file", "/b.txt/ is a file, not a directory"],
    ["src", "directory", "/b.txt", "file", "/b.txt is a file, not a directory"],
  ])("%s (%s) to %s (%s) is refused: %s", (source, sourceKind, to, toKind, message) => {
    expect(() => target(source, sourceKind, to, toKind)).toThrow(message);
  });

  test.each<[string, PathKind, string]>([
    ["C:\\src\\a.txt", "file", "/root/a.txt"],
    ["C:\\src\\", "directory", "/root/src"],
    ["C:\\src\\.", "directory", "/root"],
    ["..\\..", "directory", "/root"],
  ])("%s (%s) of Windows to a directory of the guest is %s", (path, kind, result) => {
    const from = { path, kind, backslashes: true };
    expect(copyTarget(from, { path: "/root", kind: "directory" }, { source: path, target: "/root" })).toBe(
      result,
    );
  });

  test("a name that would be a path on Windows is refused", () => {
    const to = { path: "C:\\out\\", kind: "directory", backslashes: true } as const;
    const copied = (path: string): string =>
      copyTarget({ path, kind: "file" }, to, { source: path, target: to.path });
    expect(copied("/root/a")).toBe("C:/out/a");
    expect(() => copied("/root/..\\..\\a")).toThrow("cannot be copied under its own name");
  });
});
