import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { VmSpec } from "../../../src/config/spec.ts";
import { checkLayers, findByDigest, MAX_LAYERS, pathsOf, usersOf } from "../../../src/snapshots/layers.ts";
import { hashOf, stampOf } from "../../../src/snapshots/manifest.ts";
import {
  findSnapshot,
  makeWorkDir,
  publishSnapshot,
  type Snapshot,
} from "../../../src/snapshots/snapshots.ts";

let dataDir: string;
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), "smolvm-layers-"));
});
afterEach(() => rmSync(dataDir, { recursive: true }));

const digestOf = (name: string): string => findSnapshot({ dataDir }, name).digest;
const namesOf = (snapshots: readonly Snapshot[]): string[] => snapshots.map(({ manifest }) => manifest.name);

/** A snapshot of a disk; over another it is the difference to that one, unless `whole`. */
function make(name: string, over?: string, whole = false): Snapshot {
  const work = makeWorkDir({ dataDir }, name);
  writeFileSync(work.disk, `disk of ${name}`);
  const isDifference = over !== undefined && !whole;
  if (isDifference) writeFileSync(work.diskMap, `map of ${name}`);
  const manifest = {
    format: over === undefined ? 1 : 2,
    name,
    kind: "disk",
    createdAt: 1,
    source: { id: "a", name: "b" },
    spec: {} as VmSpec,
    disk: stampOf(work.disk),
    ...(over === undefined ? {} : { base: { digest: digestOf(over), name: over } }),
    ...(isDifference ? { diskMapSha256: hashOf(Buffer.from(`map of ${name}`)) } : {}),
  };
  writeFileSync(work.manifest, JSON.stringify(manifest));
  publishSnapshot({ dataDir }, work, name);
  return findSnapshot({ dataDir }, name);
}

describe("a snapshot's layers", () => {
  test("are found by what they are, the lowest first", () => {
    make("a");
    make("b", "a");
    const c = make("c", "b");
    const { layers } = checkLayers({ dataDir }, c);
    expect(namesOf(layers)).toEqual(["a", "b", "c"]);
    const at = (name: string, file: string): string => join(dataDir, "snapshots", name, file);
    expect(pathsOf(layers, "disk")).toEqual([
      { path: at("a", "disk") },
      { path: at("b", "disk"), map: at("b", "disk.map") },
      { path: at("c", "disk"), map: at("c", "disk.map") },
    ]);
    expect(findByDigest({ dataDir }, digestOf("b"))?.manifest.name).toBe("b");
    expect(findByDigest({ dataDir }, "0".repeat(64))).toBeUndefined();
  });

  test("need not be all of them for each file", () => {
    make("a");
    make("b", "a", true); // its memory is a difference, its disk is whole
    const c = make("c", "b");
    const paths = pathsOf(checkLayers({ dataDir }, c).layers, "disk");
    expect(paths.map(({ path }) => path.split("/").at(-2))).toEqual(["b", "c"]);
  });

  const damages: Record<string, [() => void, RegExp]> = {
    "is missing": [
      () => rmSync(join(dataDir, "snapshots", "a"), { recursive: true }),
      /difference to 'a', which is missing/,
    ],
    "is another of that name": [
      () => {
        rmSync(join(dataDir, "snapshots", "a"), { recursive: true });
        make("a");
        appendFileSync(join(dataDir, "snapshots", "a", "manifest.json"), " ");
      },
      /which is missing or was changed/,
    ],
    "was written to": [
      () => appendFileSync(join(dataDir, "snapshots", "a", "disk"), "x"),
      /difference to 'a', which is damaged \(.*its disk was changed or moved\)/,
    ],
    "has another map": [
      () => writeFileSync(join(dataDir, "snapshots", "c", "disk.map"), "x"),
      /'c': the map of what is its own was changed/,
    ],
  };
  test.each(Object.entries(damages))(
    "of which one %s are refused, with the command that removes it",
    (_, [damage, why]) => {
      make("a");
      make("b", "a");
      make("c", "b");
      damage();
      expect(() => checkLayers({ dataDir }, findSnapshot({ dataDir }, "c"))).toThrow(
        expect.objectContaining({
          code: "SNAPSHOT_INVALID",
          message: expect.stringMatching(why),
          hint: expect.stringContaining("smolvm snapshot rm c"),
        }),
      );
    },
  );

  test("are bounded", () => {
    make("s0");
    for (let level = 1; level <= MAX_LAYERS; level++) make(`s${level}`, `s${level - 1}`);
    const of = (level: number) => (): object =>
      checkLayers({ dataDir }, findSnapshot({ dataDir }, `s${level}`));
    expect(of(MAX_LAYERS - 1)).not.toThrow();
    expect(of(MAX_LAYERS)).toThrow(expect.objectContaining({ code: "SNAPSHOT_INVALID" }));
  });

  test("have users, which are told in an order in which they can be removed", () => {
    make("a");
    make("b", "a");
    make("c", "b");
    make("d", "a");
    make("e");
    const users = namesOf(usersOf({ dataDir }, digestOf("a")));
    expect([...users].sort()).toEqual(["b", "c", "d"]);
    expect(users.indexOf("c")).toBeLessThan(users.indexOf("b"));
    expect(usersOf({ dataDir }, digestOf("e"))).toEqual([]);
  });
});
