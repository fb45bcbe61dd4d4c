import { posix } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { checkEntryPath, type NameRules, staysInside } from "../../../../src/agent/files/entry-path.ts";
import { FUZZ_LIMIT_MS, inputs } from "../../../helpers/fuzz.ts";

const check = (path: string | Uint8Array, rules: NameRules = "linux") =>
  checkEntryPath(Buffer.from(path), rules);
const refused = expect.objectContaining({ code: "FILE_UNSAFE" });

describe("an entry's path", () => {
  test.each([
    "a",
    "a/b",
    "...",
    "..a",
    "a..",
    ".hidden",
    "a b",
    "a\\b",
    "C:",
    "con",
    "x".repeat(255),
    "grüße",
  ])("%j is fine on Linux", (path) => {
    check(path);
  });

  test.each(
    [
      ["", "/", "/a", "a/", "a//b", ".", "..", "./a", "a/.", "a/..", "../a", "a/../b", "a\0b", "\0"],
      ["x".repeat(256), `${"x/".repeat(2048)}x`, Array(257).fill("d").join("/")],
    ].flat(),
  )("%j is refused everywhere", (path) => {
    for (const rules of ["linux", "darwin", "win32"] as const)
      expect(() => check(path, rules)).toThrow(refused);
  });

  test("may be any bytes on Linux, and must be text elsewhere", () => {
    check(Uint8Array.of(0xff, 0x01));
    for (const rules of ["darwin", "win32"] as const) {
      expect(() => check(Uint8Array.of(0xff, 0x01), rules)).toThrow(refused);
    }
  });

  test.each([
    "a\\b",
    "C:",
    "a:stream",
    "con",
    "CON.txt",
    "nul",
    "Com1",
    "lpt9.x",
    "com²",
    "a.",
    "a ",
    "a/b.",
    "a<",
    "a*",
    "a?",
    "\x01",
    "conin$",
  ])("%j is refused on Windows", (path) => {
    expect(() => check(path, "win32")).toThrow(refused);
  });

  test.each(["console", "com", "com10", "a.b", "nulls", "a/.b"])("%j is fine on Windows", (path) => {
    check(path, "win32");
  });

  test(
    "that passes never leaves the directory it is joined to",
    () => {
      const part = fc.constantFrom("a", "..", ".", "", "b", "\0", "...");
      fc.assert(
        fc.property(fc.array(part, { maxLength: 6 }), (parts) => {
          const path = parts.join("/");
          try {
            check(path);
          } catch {
            return;
          }
          expect(posix.join("/root/of/tree", path).startsWith("/root/of/tree/")).toBe(true);
        }),
        { numRuns: inputs(3000) },
      );
    },
    FUZZ_LIMIT_MS,
  );
});

describe("a symlink", () => {
  const inside = (path: string, target: string) =>
    staysInside(Buffer.from(path), Buffer.from(target), "linux");

  test.each([
    ["l", "a"],
    ["l", "a/b/c"],
    ["l", "./a"],
    ["l", "."],
    ["d/l", ".."],
    ["d/e/l", "../../a"],
    ["d/e/l", "../.././a//b"],
  ])("%s -> %s stays inside", (path, target) => {
    expect(inside(path, target)).toBe(true);
  });

  test.each([
    ["l", ""],
    ["l", "/"],
    ["l", "/etc/passwd"],
    ["l", ".."],
    ["l", "../x"],
    ["d/l", "../../x"],
    ["l", "a/../b"], // a may be a symlink itself
    ["d/l", "../d/../../x"],
    ["l", "a\0b"],
    ["l", "x".repeat(5000)],
  ])("%s -> %s is left out", (path, target) => {
    expect(inside(path, target)).toBe(false);
  });

  test("is judged more strictly on Windows", () => {
    for (const target of ["..\\..\\x", "C:\\x", "a:b"]) {
      expect(staysInside(Buffer.from("l"), Buffer.from(target), "win32")).toBe(false);
    }
  });

  /** Where a path leads in a tree of directories and symlinks, followed as a kernel does; undefined if that is outside. */
  function follow(links: ReadonlyMap<string, string>, start: string[], path: string): string[] | undefined {
    const at = [...start];
    const todo = path.split("/").reverse();
    let hops = 0;
    for (let part = todo.pop(); part !== undefined; part = todo.pop()) {
      if (part === "" || part === ".") continue;
      if (part === "..") {
        if (at.length === 0) return undefined;
        at.pop();
        continue;
      }
      const target = links.get([...at, part].join("/"));
      if (target === undefined) at.push(part);
      else if (++hops > 40)
        return at; // ELOOP: it leads nowhere
      else todo.push(...target.split("/").reverse());
    }
    return at;
  }

  test(
    "that is kept never leads out, whatever other symlinks that are kept do",
    () => {
      const name = fc.constantFrom("a", "b", "c");
      const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((parts) => parts.join("/"));
      const target = fc
        .array(fc.constantFrom("a", "b", "c", "..", ".", ""), { maxLength: 5 })
        .map((parts) => parts.join("/"));
      fc.assert(
        fc.property(fc.array(fc.tuple(path, target), { maxLength: 8 }), (candidates) => {
          const links = new Map<string, string>();
          for (const [at, to] of candidates) {
            // As in a real tree: nothing lies below a symlink.
            const below = [...links.keys()].some(
              (key) => key.startsWith(`${at}/`) || at.startsWith(`${key}/`),
            );
            if (!below && !links.has(at) && inside(at, to)) links.set(at, to);
          }
          for (const [at, to] of links) {
            expect(follow(links, at.split("/").slice(0, -1), to)).toBeDefined();
          }
        }),
        { numRuns: inputs(5000) },
      );
    },
    FUZZ_LIMIT_MS,
  );
});
