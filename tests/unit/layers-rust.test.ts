import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

/** Modules by path ("streams/source", "sys"; "" is the crate's root), with their code. */
type Modules = ReadonlyMap<string, string>;

/** The code of a file: without comments, strings and the tests at its end. */
function codeOf(text: string): string {
  return text
    .replace(/^#\[cfg\(test\)\][\s\S]*/m, "")
    .replace(/\/\/.*$/gm, "")
    .replace(/[bc]?"(?:[^"\\]|\\[\s\S])*"/g, '""');
}

function modulesOf(crate: string): Modules {
  const src = fileURLToPath(new URL(`../../${crate}/src`, import.meta.url));
  const files = globSync("**/*.rs", { cwd: src }).map((file) => file.replaceAll("\\", "/"));
  const name = (file: string): string => file.replace(/(^|\/)(lib|main|mod)\.rs$|\.rs$/, "");
  return new Map(files.map((file) => [name(file), codeOf(readFileSync(join(src, file), "utf8"))]));
}

/** The paths of a use tree: "a::{b, c::{d, e}}" is a::b, a::c::d and a::c::e. */
function flatten(tree: string): string[] {
  const open = tree.indexOf("{");
  if (open < 0) return [tree.replace(/\bas\s+\w+/, "").trim()];
  const head = tree.slice(0, open).trim();
  const parts: string[] = [];
  let depth = 0;
  let part = "";
  for (const char of tree.slice(open + 1, tree.lastIndexOf("}"))) {
    if (char === "{") depth += 1;
    if (char === "}") depth -= 1;
    if (char === "," && depth === 0) {
      parts.push(part);
      part = "";
    } else part += char;
  }
  return [...parts, part].filter((text) => text.trim() !== "").flatMap((text) => flatten(head + text.trim()));
}

/** What code names of its crate: the paths after `crate::`. */
function pathsOf(code: string): string[] {
  const uses = [...code.matchAll(/\buse\s+crate::([^;]+);/g)].flatMap((match) => flatten(match[1] ?? ""));
  const inline = code.replace(/\buse\s+crate::[^;]+;/g, "").matchAll(/\bcrate((?:::\w+)+)/g);
  return [...uses, ...[...inline].map((match) => (match[1] ?? "").slice(2))];
}

/** The module that a path leads into. */
function moduleAt(path: string, modules: Modules): string {
  const parts = path.split("::").filter((part) => part !== "self");
  while (parts.length > 0 && !modules.has(parts.join("/"))) parts.pop();
  return parts.join("/");
}

/** The modules that one names: by `crate::`, or as a module that it declares itself. */
function importsOf(name: string, modules: Modules): string[] {
  const code = modules.get(name) ?? "";
  const named = pathsOf(code).map((path) => moduleAt(path, modules));
  const children = [...code.matchAll(/^(?:pub )?mod (\w+);/gm)].map((match) => match[1] ?? "");
  const relative = children
    .filter((child) => new RegExp(`(?<!::)\\b${child}::`).test(code))
    .map((child) => (name === "" ? child : `${name}/${child}`));
  return [...new Set([...named, ...relative])].filter((to) => to !== name);
}

/** A circle of modules, if there is one. */
function circleIn(graph: ReadonlyMap<string, readonly string[]>): string[] | undefined {
  const done = new Set<string>();
  const visit = (name: string, path: readonly string[]): string[] | undefined => {
    if (path.includes(name)) return [...path.slice(path.indexOf(name)), name];
    if (done.has(name)) return undefined;
    for (const next of graph.get(name) ?? []) {
      const circle = visit(next, [...path, name]);
      if (circle !== undefined) return circle;
    }
    done.add(name);
    return undefined;
  };
  for (const name of graph.keys()) {
    const circle = visit(name, []);
    if (circle !== undefined) return circle;
  }
  return undefined;
}

/** Methods of a type that is defined elsewhere: they would let a module call upwards without an import. */
function strayMethods(name: string, modules: Modules): string[] {
  const code = modules.get(name) ?? "";
  return [...code.matchAll(/^impl(?:<[^>]*>)? (\w+)(?:<[^>]*>)? \{/gm)]
    .map((match) => match[1] ?? "")
    .filter((type) => !new RegExp(`\\b(?:struct|enum|union) ${type}\\b`).test(code))
    .map((type) => `${name} has methods of ${type}`);
}

const roomOf = (name: string): string => name.split("/")[0] ?? "";

/** The table in the crate's documentation: rooms from the top down, and what each uses. */
function roomsOf(crate: string): Map<string, string[]> {
  const root = readFileSync(fileURLToPath(new URL(`../../${crate}/src/lib.rs`, import.meta.url)), "utf8");
  const rows = [...root.matchAll(/^\/\/! \| `(\w+)` \|.*\| ([^|]*) \|$/gm)];
  return new Map(rows.map((row) => [row[1] ?? "", (row[2] ?? "").split(" ").filter((room) => room !== "")]));
}

const crates = ["wire", "guest", "monitor", "fileserver"].map((crate) => ({
  crate,
  modules: modulesOf(crate),
}));

describe.each(crates)("the modules of $crate", ({ modules }) => {
  test("import each other without a circle", () => {
    const graph = new Map([...modules.keys()].map((name) => [name, importsOf(name, modules)]));
    expect(circleIn(graph)).toBeUndefined();
  });

  test("name each other by crate::, never by super::", () => {
    expect([...modules].filter(([, code]) => /\bsuper::/.test(code)).map(([name]) => name)).toEqual([]);
  });

  test("have the methods of a type where the type is", () => {
    expect([...modules.keys()].flatMap((name) => strayMethods(name, modules))).toEqual([]);
  });
});

describe.each(["guest", "fileserver"])("the rooms of %s", (crate) => {
  const modules = modulesOf(crate);
  const table = roomsOf(crate);
  const order = [...table.keys()];
  const edges = [...modules.keys()]
    .filter((name) => name !== "" && roomOf(name) !== "main")
    .flatMap((from) => importsOf(from, modules).map((to) => ({ from, to })))
    .filter(({ from, to }) => roomOf(from) !== roomOf(to));

  test("are all in the table, and no other", () => {
    expect([...order].sort()).toEqual([...new Set([...modules.keys()].map(roomOf))].filter(Boolean).sort());
  });

  test("use only rooms below them", () => {
    const upward = [...table].flatMap(([room, uses]) =>
      uses.filter((used) => order.indexOf(used) <= order.indexOf(room)).map((used) => `${room} -> ${used}`),
    );
    expect(upward).toEqual([]);
  });

  test("use what the table says", () => {
    const others = edges.filter(({ from, to }) => !table.get(roomOf(from))?.includes(roomOf(to)));
    expect(others.map(({ from, to }) => `${from} uses ${to === "" ? "the crate's root" : to}`)).toEqual([]);
  });

  test("use all that the table says", () => {
    const used = new Set(edges.map(({ from, to }) => `${roomOf(from)} -> ${roomOf(to)}`));
    const entries = [...table].flatMap(([room, uses]) => uses.map((to) => `${room} -> ${to}`));
    expect(entries.filter((entry) => !used.has(entry))).toEqual([]);
  });
});

test.each(["guest", "fileserver", "wire"])("wire/ of %s makes no system call", (crate) => {
  const impure = [...modulesOf(crate)].filter(
    ([name, code]) =>
      (crate === "wire" || roomOf(name) === "wire") &&
      /\b(?:libc|std::(?:fs|io|net|os|process|time))::/.test(code),
  );
  expect(impure.map(([name]) => name)).toEqual([]);
});

describe("the judge", () => {
  const modules: Modules = new Map([
    ["", "pub mod a;\npub mod b;\nfn f() { a::x::run() }"],
    ["a", "pub mod x;\npub mod y;"],
    ["a/x", "use crate::a::y::Y;\nuse crate::b::{self, One, two::Three as Four};\nimpl Y {\n}"],
    ["a/y", "struct Y;\nimpl<T> Y {\n}\nfn f() { crate::a::x::g::<u8>(); crate::CONST }"],
    ["b", ""],
  ]);

  test("sees use trees, paths in code, and modules that a file declares", () => {
    expect(pathsOf(modules.get("a/x") ?? "")).toEqual(["a::y::Y", "b::self", "b::One", "b::two::Three"]);
    expect(importsOf("a/x", modules)).toEqual(["a/y", "b"]);
    expect(importsOf("a/y", modules)).toEqual(["a/x", ""]);
    expect(importsOf("", modules)).toEqual(["a"]);
  });

  test("does not take comments, strings and tests for code", () => {
    const text =
      'let a = b"crate::x"; // crate::y\n/// [`crate::z`]\nlet c = "\\"crate::q";\n#[cfg(test)]\nmod tests { use super::*; }';
    expect(pathsOf(codeOf(text))).toEqual([]);
    expect(codeOf(text)).not.toContain("super");
  });

  test("finds circles and stray methods", () => {
    const graph = new Map([...modules.keys()].map((name) => [name, importsOf(name, modules)]));
    expect(circleIn(graph)).toEqual(["a/x", "a/y", "a/x"]);
    expect(circleIn(new Map([["a", ["b"]]]))).toBeUndefined();
    expect(strayMethods("a/x", modules)).toEqual(["a/x has methods of Y"]);
    expect(strayMethods("a/y", modules)).toEqual([]);
  });
});
