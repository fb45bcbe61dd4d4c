import { describe, expect, test } from "vitest";
import { type PortableNeeds, parsePortable, unmet } from "../../../src/snapshots/portable.ts";

const HASH = "a".repeat(64);
const FILE = { size: 8192, parts: [[0, 4096]], sha256: HASH };
const NEEDS: PortableNeeds = { cpu: "a CPU", shape: ["-m 512M"], vmm: HASH, kernel: HASH, initrd: HASH };
const MANIFEST = {
  smolvmSnapshot: 1,
  name: "it",
  kind: "full",
  createdAt: 1,
  source: { id: "a", name: "b" },
  config: { image: "debian" },
  imageDigest: HASH,
  disk: FILE,
  memory: FILE,
  state: FILE,
  needs: NEEDS,
};
const { memory: _, state: __, needs: ___, ...DISK } = { ...MANIFEST, kind: "disk" };

test("a manifest is read as it was written", () => {
  expect(parsePortable(JSON.stringify(MANIFEST))).toEqual(MANIFEST);
  expect(parsePortable(JSON.stringify(DISK))).toEqual(DISK);
});

test.each<[string, object]>([
  ["another format", { smolvmSnapshot: 2 }],
  ["no name", { name: undefined }],
  ["a name that is too long", { name: "x".repeat(64) }],
  ["an unknown kind", { kind: "half" }],
  ["a time that is none", { createdAt: -1 }],
  ["no source", { source: null }],
  ["no memory, though it is full", { memory: undefined }],
  ["no needs, though it is full", { needs: undefined }],
  ["a machine that is no list", { needs: { ...NEEDS, shape: "x" } }],
  ["a hash that is none", { disk: { ...FILE, sha256: "A".repeat(64) } }],
  ["a size of nothing", { disk: { ...FILE, size: 0 } }],
  ["a size beyond any disk", { disk: { ...FILE, size: 2 ** 41 } }],
  ["a part outside of its file", { disk: { ...FILE, parts: [[4096, 8192]] } }],
  ["a part over another", { disk: { ...FILE, parts: [[0, 4096], [4095, 10]] } }], // biome-ignore format: a table
  ["parts in the wrong order", { disk: { ...FILE, parts: [[4096, 1], [0, 1]] } }], // biome-ignore format: a table
  ["an empty part", { disk: { ...FILE, parts: [[0, 0]] } }],
  ["a part that is no number", { disk: { ...FILE, parts: [["0", 1]] } }],
  ["a part of half a byte", { disk: { ...FILE, parts: [[0, 0.5]] } }],
])("with %s it is refused", (_, change) => {
  expect(() => parsePortable(JSON.stringify({ ...MANIFEST, ...change }))).toThrow(
    expect.objectContaining({ code: "SNAPSHOT_INVALID" }),
  );
});

test.each(["", "{", "[]", "null", "1"])("'%s' is no manifest", (text) => {
  expect(() => parsePortable(text)).toThrow(expect.objectContaining({ code: "SNAPSHOT_INVALID" }));
});

describe("what a memory needs", () => {
  test("is there, or is named", () => {
    expect(unmet(NEEDS, structuredClone(NEEDS))).toEqual([]);
    expect(unmet(NEEDS, { cpu: "b", shape: [], vmm: "b", kernel: "b", initrd: "b" })).toHaveLength(5);
    expect(unmet(NEEDS, { ...NEEDS, kernel: "b".repeat(64) })).toEqual(["the kernel is another"]);
  });
});
