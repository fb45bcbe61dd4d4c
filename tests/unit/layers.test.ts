import { globSync, readFileSync } from "node:fs";
import { dirname, join, posix, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { LAYERS, type Layer, PURE, SPAWNING_LAYER } from "../../src/layers.ts";

const SRC = fileURLToPath(new URL("../../src", import.meta.url));

interface Import {
  /** file that imports, relative to src/ */
  readonly from: string;
  /** what it names: a path relative to src/, or a package */
  readonly to: string;
  readonly local: boolean;
  readonly typeOnly: boolean;
}

/** `import|export [type] ... from "x"` and `import("x")`; comments do not hold such lines here. */
const STATEMENT =
  /^(?:import|export)\s+(type\s)?(?:([^;"]*?)\sfrom\s+)?"([^"]+)"|import\(\s*"([^"]+)"\s*\)/gm;

function importsOf(file: string, text: string): Import[] {
  return [...text.matchAll(STATEMENT)].map((match) => {
    const target = match[3] ?? match[4] ?? "";
    const local = target.startsWith(".");
    const names = (match[2] ?? "").trim();
    const onlyTypes = /^\{(?:\s*type\s[^,}]*,?)+\s*\}$/.test(names);
    return {
      from: file,
      to: local ? posix.normalize(posix.join(posix.dirname(file), target)) : target,
      local,
      typeOnly: match[1] !== undefined || onlyTypes,
    };
  });
}

const files = globSync("**/*.ts", { cwd: SRC }).map((file) => file.replaceAll("\\", "/"));
const imports = files.flatMap((file) => importsOf(file, readFileSync(join(SRC, file), "utf8")));

/** The layer of a file: its directory in src/, or its own name. "backends" is both: the file is the package's entry. */
function layerOf(file: string): string {
  if (file.includes("/")) return file.slice(0, file.indexOf("/"));
  const name = file.replace(/\.ts$/, "");
  return name === "backends" ? "backends_entry" : name;
}

const allows = (entries: readonly string[], file: string): boolean =>
  entries.includes(file) || entries.includes(layerOf(file));

function violation(edge: Import): string | undefined {
  const from = layerOf(edge.from);
  if (!edge.local || layerOf(edge.to) === from) return undefined;
  const layer: Layer | undefined = LAYERS[from];
  if (layer === undefined) return `${edge.from}: '${from}' is not in the table`;
  if (allows(layer.imports, edge.to) || (edge.typeOnly && allows(layer.types, edge.to))) return undefined;
  return `${edge.from} imports ${edge.typeOnly ? "types of " : ""}${edge.to}`;
}

const isPure = (file: string): boolean =>
  PURE.some((entry) => (entry.endsWith("/") ? file.startsWith(entry) : file === entry));

describe("the import table", () => {
  test("is kept by every file", () => {
    expect(imports.map(violation).filter((text) => text !== undefined)).toEqual([]);
  });

  test("has an entry for every part of src/, and none for parts that are gone", () => {
    expect(Object.keys(LAYERS).sort()).toEqual([...new Set(files.map(layerOf))].sort());
  });

  test("has no entry that nothing uses", () => {
    const stale = Object.entries(LAYERS).flatMap(([from, layer]) => {
      const edges = imports.filter((edge) => edge.local && layerOf(edge.from) === from);
      const used = (entry: string, typeOnly: boolean): boolean =>
        edges.some((edge) => edge.typeOnly === typeOnly && allows([entry], edge.to));
      return [
        ...layer.imports
          .filter((entry) => !used(entry, false) && !used(entry, true))
          .map((entry) => `${from} -> ${entry}`),
        ...layer.types.filter((entry) => !used(entry, true)).map((entry) => `${from} -> types of ${entry}`),
      ];
    });
    expect(stale).toEqual([]);
  });

  test("has no cycle", () => {
    const visit = (layer: string, path: readonly string[]): void => {
      expect(path, "a cycle of layers").not.toContain(layer);
      for (const next of LAYERS[layer]?.imports ?? []) {
        if (!next.includes("/")) visit(next, [...path, layer]);
      }
    };
    for (const layer of Object.keys(LAYERS)) visit(layer, []);
  });
});

describe("processes and purity", () => {
  test("only src/host starts processes", () => {
    const spawning = imports.filter((edge) => /^(node:)?(child_process|cluster)$/.test(edge.to));
    expect(spawning.filter((edge) => layerOf(edge.from) !== SPAWNING_LAYER).map((edge) => edge.from)).toEqual(
      [],
    );
  });

  test("pure files import no node: module but node:buffer, no package, and values only from pure files", () => {
    const impure = imports
      .filter((edge) => isPure(edge.from) && !edge.typeOnly)
      .filter((edge) => (edge.local ? !isPure(edge.to) : edge.to !== "node:buffer"));
    expect(impure.map((edge) => `${edge.from} imports ${edge.to}`)).toEqual([]);
  });

  test("the list of pure files names only files that exist", () => {
    expect(
      PURE.filter(
        (entry) => !files.some((file) => file === entry || (entry.endsWith("/") && file.startsWith(entry))),
      ),
    ).toEqual([]);
  });
});

describe("the parser of imports", () => {
  test("sees static, type, side-effect, re-exporting and dynamic imports", () => {
    const text = [
      'import { a } from "./a.ts";',
      'import type { B } from "../b.ts";',
      'import { type C, type D } from "./c.ts";',
      'import { type E, f } from "./e.ts";',
      'import "./g.ts";',
      'export { h } from "./h.ts";',
      'export type { I } from "./i.ts";',
      'import {\n  type J,\n  type K,\n} from "./j.ts";',
      'const l = await import("./l.ts");',
      'import n from "node:net";',
    ].join("\n");
    const seen = importsOf("x/y.ts", text).map(({ to, typeOnly }) => `${to}${typeOnly ? " (types)" : ""}`);
    expect(seen).toEqual([
      "x/a.ts",
      "b.ts (types)",
      "x/c.ts (types)",
      "x/e.ts",
      "x/g.ts",
      "x/h.ts",
      "x/i.ts (types)",
      "x/j.ts (types)",
      "x/l.ts",
      "node:net",
    ]);
    expect(relative(dirname(SRC), SRC)).toBe("src");
  });
});
