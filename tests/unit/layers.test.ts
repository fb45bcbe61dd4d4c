import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { LAYERS, type Layer, PURE, SPAWNING_LAYER } from "../../src/layers.ts";
import { ROOMS } from "../../src/rooms.ts";
import { findCircle, type Import, importsOf, readImports } from "../helpers/imports.ts";

const { files, imports } = readImports(fileURLToPath(new URL("../../src", import.meta.url)));

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

  test("has no circle", () => {
    const next = Object.entries(LAYERS).map(([from, { imports }]) => [from, imports] as const);
    expect(findCircle(new Map(next))?.join(" -> ")).toBeUndefined();
  });
});

/** The room of a file inside its part: the directory, or its own name. */
const roomOf = (file: string): string => file.split("/")[1]!.replace(/\.ts$/, "");

interface RoomUse {
  readonly part: string;
  readonly from: string;
  readonly to: string;
  readonly edge: Import;
}

/** The imports that leave a room and stay in its part. */
const roomUses: readonly RoomUse[] = imports
  .filter((edge) => edge.local && edge.from.includes("/") && layerOf(edge.from) === layerOf(edge.to))
  .map((edge) => ({ part: layerOf(edge.from), from: roomOf(edge.from), to: roomOf(edge.to), edge }))
  .filter(({ part, from, to }) => ROOMS[part] !== undefined && from !== to);

describe("the table of rooms", () => {
  test("is kept by every file", () => {
    const violations = roomUses
      .filter(({ part, from, to }) => !ROOMS[part]![from]?.includes(to))
      .map(
        ({ part, from, to, edge }) =>
          `${edge.from} imports ${edge.to}: in ${part}, '${from}' may not import '${to}'`,
      );
    expect(violations).toEqual([]);
  });

  test("has every part with several directories, all of their rooms, and none that is gone", () => {
    const inside = files.filter((file) => file.includes("/"));
    const directories = (part: string): number =>
      new Set(inside.filter((file) => layerOf(file) === part && file.split("/").length > 2).map(roomOf)).size;
    const parts = [...new Set(inside.map(layerOf))].filter((part) => directories(part) > 1);
    const rooms = (part: string): string[] => [
      ...new Set(inside.filter((file) => layerOf(file) === part).map((file) => `${part}/${roomOf(file)}`)),
    ];
    const found = parts.flatMap(rooms);
    const listed = Object.entries(ROOMS).flatMap(([part, of]) =>
      Object.keys(of).map((room) => `${part}/${room}`),
    );
    const wrong = [
      ...found.filter((room) => !listed.includes(room)).map((room) => `${room} is not in the table`),
      ...listed
        .filter((room) => !found.includes(room))
        .map((room) => `${room} is in the table and nowhere else`),
    ];
    expect(wrong).toEqual([]);
  });

  test("has no entry that nothing uses", () => {
    const stale = Object.entries(ROOMS).flatMap(([part, rooms]) =>
      Object.entries(rooms).flatMap(([from, allowed]) =>
        allowed
          .filter((to) => !roomUses.some((use) => use.part === part && use.from === from && use.to === to))
          .map((to) => `${part}: ${from} -> ${to}`),
      ),
    );
    expect(stale).toEqual([]);
  });

  test.each(Object.entries(ROOMS))("has no circle in %s", (_part, rooms) => {
    expect(findCircle(new Map(Object.entries(rooms)))?.join(" -> ")).toBeUndefined();
  });
});

describe("files", () => {
  test("import each other in no circle, not for types and not late either", () => {
    const next = new Map<string, string[]>(files.map((file) => [file, []]));
    for (const edge of imports) if (edge.local) next.get(edge.from)!.push(edge.to);
    expect(findCircle(next)?.join(" -> ")).toBeUndefined();
  });

  test.each([
    [{ a: ["b"], b: ["c"], c: [] }, undefined],
    [{ a: ["b", "c"], b: ["c"], c: [] }, undefined],
    [{ a: ["b"], b: ["c"], c: ["b"] }, ["b", "c", "b"]],
    [{ a: ["a"] }, ["a", "a"]],
  ])("a circle is found: %j", (graph, circle) => {
    expect(findCircle(new Map(Object.entries<string[]>(graph)))).toEqual(circle);
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
  });
});

test("nobody but util/files-go takes from Node what removes or renames: on Windows a file that is open cannot go at once", () => {
  const src = fileURLToPath(new URL("../../src/", import.meta.url));
  const takes = (file: string): boolean =>
    [
      ...readFileSync(`${src}${file}`, "utf8").matchAll(/import \{([^}]*)\} from "node:fs(?:\/promises)?"/g),
    ].some(([, names = ""]) => /\b(?:rm|rename|unlink)(?:Sync)?\b/.test(names));
  expect(files.filter((file) => file !== "util/files-go.ts" && takes(file))).toEqual([]);
});
