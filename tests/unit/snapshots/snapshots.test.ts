import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { VmSpec } from "../../../src/config/spec.ts";
import { differences, type MachineFacts } from "../../../src/snapshots/machine-facts.ts";
import { stampOf } from "../../../src/snapshots/manifest.ts";
import { savedFiles } from "../../../src/snapshots/saved.ts";
import {
  findSnapshot,
  listSnapshots,
  makeWorkDir,
  publishSnapshot,
  setAside,
} from "../../../src/snapshots/snapshots.ts";
import { childNames } from "../../../src/vm/lifecycle/own-options.ts";

const FACTS: MachineFacts = {
  shape: ["-m 512M"],
  diskSizeMib: 2048,
  files: [
    { role: "vmm", path: "/usr/bin/qemu", size: 1, mtimeMs: 2, inode: 3 },
    { role: "seed", path: "/seeds", size: 1, mtimeMs: 2, inode: 4 },
    { role: "base", path: "/image", size: 1, mtimeMs: 0, inode: 5 },
  ],
  cpu: "a CPU",
};

describe("what a memory must go on with", () => {
  test("is the same", () => expect(differences(FACTS, structuredClone(FACTS))).toEqual([]));

  const changed = (role: string): MachineFacts => ({
    ...FACTS,
    files: FACTS.files.map((file) => (file.role === role ? { ...file, inode: 9 } : file)),
  });
  test.each<[string, MachineFacts, string[]]>([
    ["processor", { ...FACTS, cpu: "another" }, ["this machine's processor is another"]],
    ["size of the disk", { ...FACTS, diskSizeMib: 1 }, ["its disk is of another size"]],
    ["shape", { ...FACTS, shape: [] }, ["this version of smolvm makes another machine of it"]],
    ["VMM", changed("vmm"), ["the virtual machine monitor is another"]],
    ["image", changed("base"), ["the image is another"]],
    ["seed, of which only disks are made", changed("seed"), []],
    [
      "file that is missing",
      { ...FACTS, files: [] },
      ["the virtual machine monitor is another", "the image is another"],
    ],
  ])("another %s", (_, facts, reasons) => {
    expect(differences(FACTS, facts)).toEqual(reasons);
  });
});

describe("snapshots in a directory", () => {
  let dataDir: string;
  beforeEach(() => {
    dataDir = mkdtempSync(join(tmpdir(), "smolvm-snapshots-"));
  });
  afterEach(() => rmSync(dataDir, { recursive: true }));

  function make(name: string, createdAt: number): void {
    const work = makeWorkDir({ dataDir }, `maker${createdAt}`);
    writeFileSync(work.disk, "disk");
    const manifest = {
      format: 1,
      name,
      kind: "disk",
      createdAt,
      source: { id: "a", name: "b" },
      spec: {} as VmSpec,
      disk: stampOf(work.disk),
    };
    writeFileSync(work.manifest, JSON.stringify(manifest));
    publishSnapshot({ dataDir }, work, name);
  }

  test("are listed from the oldest on; what is in the making, damaged or none is not", () => {
    make("b", 1);
    make("a", 2);
    makeWorkDir({ dataDir }, "in-the-making");
    mkdirSync(join(dataDir, "snapshots", "empty"));
    expect(listSnapshots({ dataDir }).map(({ manifest }) => manifest.name)).toEqual(["b", "a"]);
  });

  test("a name is taken once", () => {
    make("a", 1);
    expect(() => make("a", 2)).toThrow(expect.objectContaining({ code: "SNAPSHOT_EXISTS" }));
    expect(findSnapshot({ dataDir }, "a").manifest.createdAt).toBe(1);
  });

  test("one whose manifest is another's, or of another version, is damaged", () => {
    make("a", 1);
    const { manifest } = savedFiles(join(dataDir, "snapshots", "a"));
    const invalid = expect.objectContaining({ code: "SNAPSHOT_INVALID" });
    writeFileSync(manifest, JSON.stringify({ format: 1, name: "b" }));
    expect(() => findSnapshot({ dataDir }, "a")).toThrow(invalid);
    writeFileSync(manifest, JSON.stringify({ format: 3, name: "a" }));
    expect(() => findSnapshot({ dataDir }, "a")).toThrow(invalid);
    rmSync(manifest);
    expect(() => findSnapshot({ dataDir }, "a")).toThrow(invalid);
    setAside({ dataDir }, "a", "remover");
    expect(() => findSnapshot({ dataDir }, "a")).toThrow(
      expect.objectContaining({ code: "SNAPSHOT_NOT_FOUND" }),
    );
  });

  test.each(["../a", "a/b", ".a", "", "x".repeat(64), "a\n"])("'%s' is no name", (name) => {
    const refused = expect.objectContaining({ code: "CONFIG_INVALID" });
    expect(() => findSnapshot({ dataDir }, name)).toThrow(refused);
    expect(() => setAside({ dataDir }, name, "remover")).toThrow(refused);
  });
});

test("names of a fork's children", () => {
  let next = 0;
  const generate = (): string => `generated-${next++}`;
  expect(childNames(2, undefined, generate)).toEqual(["generated-0", "generated-1"]);
  expect(childNames(1, "one", generate)).toEqual(["one"]);
  expect(childNames(3, "it", generate)).toEqual(["it-1", "it-2", "it-3"]);
  expect(() => childNames(0, undefined, generate)).toThrow(
    expect.objectContaining({ code: "CONFIG_INVALID" }),
  );
  expect(() => childNames(2, "Not A Name", generate)).toThrow(
    expect.objectContaining({ code: "CONFIG_INVALID" }),
  );
});
