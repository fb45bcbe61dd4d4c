import { mkdirSync, mkdtempSync, renameSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { templateLayout } from "../../../src/snapshots/layout.ts";
import { hashOf, stampOf } from "../../../src/snapshots/manifest.ts";
import { findTemplate, listTemplates, surplus } from "../../../src/snapshots/store.ts";
import { type TemplateFacts, templateKey } from "../../../src/snapshots/template-key.ts";

const FACTS: TemplateFacts = {
  machine: {
    backend: "qemu",
    arch: "x86_64",
    machine: "microvm",
    accelerator: "tcg",
    vcpuCount: 1,
    memSizeMib: 512,
    bootArgs: "",
    network: "off",
    networkCard: undefined,
    discovery: "acpi",
    sessionPorts: 4,
  },
  disks: ["smolvm-base raw", "smolvm-upper raw"],
  diskSizeMib: 2048,
  files: [{ path: "/usr/bin/qemu", size: 1, mtimeMs: 2, inode: 3 }],
  cpu: "a CPU fpu vme",
};

describe("the key of a template", () => {
  const key = templateKey(FACTS);

  test("is the same for the same facts, whatever else the machine's spec says", () => {
    const more = { ...FACTS.machine, kernelPath: "/elsewhere", gdbPort: 1 };
    expect(key).toMatch(/^[0-9a-f]{32}$/);
    expect(templateKey({ ...FACTS, machine: more })).toBe(key);
  });

  const changes: Record<string, TemplateFacts> = {
    "the accelerator": { ...FACTS, machine: { ...FACTS.machine, accelerator: "kvm" } },
    "the number of CPUs": { ...FACTS, machine: { ...FACTS.machine, vcpuCount: 2 } },
    memory: { ...FACTS, machine: { ...FACTS.machine, memSizeMib: 256 } },
    "a network card": { ...FACTS, machine: { ...FACTS.machine, network: "open", networkCard: "slirp" } },
    "boot arguments": { ...FACTS, machine: { ...FACTS.machine, bootArgs: "quiet" } },
    "session ports": { ...FACTS, machine: { ...FACTS.machine, sessionPorts: 3 } },
    disks: { ...FACTS, disks: ["smolvm-base raw"] },
    "the disk's size": { ...FACTS, diskSizeMib: 4096 },
    "a newer VMM": { ...FACTS, files: [{ ...FACTS.files[0]!, mtimeMs: 3 }] },
    "another host CPU": { ...FACTS, cpu: "a CPU fpu" },
  };
  test.each(Object.entries(changes))("is another with another %s", (_, facts) => {
    expect(templateKey(facts)).not.toBe(key);
  });
});

describe("a template on the disk", () => {
  const key = "0123456789abcdef0123456789abcdef";
  let cacheDir: string;
  beforeEach(() => {
    cacheDir = mkdtempSync(join(tmpdir(), "tpl-"));
    write();
  });
  afterEach(() => rmSync(cacheDir, { recursive: true, force: true }));

  const files = () => templateLayout({ cacheDir }).template(key);

  function write(manifest: object = {}): void {
    mkdirSync(files().dir, { recursive: true });
    writeFileSync(files().memory, "memory");
    writeFileSync(files().state, "state");
    writeFileSync(files().disk, "disk");
    const hash = (text: string): string => hashOf(Buffer.from(text));
    const whole = {
      key,
      memory: stampOf(files().memory),
      stateSha256: hash("state"),
      diskSha256: hash("disk"),
    };
    writeFileSync(files().manifest, JSON.stringify({ ...whole, ...manifest }));
  }

  test("is found with its state", () => {
    expect(findTemplate({ cacheDir }, key)).toMatchObject({ key, state: Buffer.from("state") });
  });

  test("that is not there is not found", () => {
    expect(findTemplate({ cacheDir }, "f".repeat(32))).toEqual({ why: "there is none yet" });
  });

  const damages: Record<string, () => void> = {
    "memory is written to": () => writeFileSync(files().memory, "Memory"),
    "memory is cut": () => truncateSync(files().memory, 3),
    "memory is another file": () => {
      writeFileSync(`${files().memory}.new`, "memory");
      renameSync(`${files().memory}.new`, files().memory);
    },
    "memory is gone": () => rmSync(files().memory),
    "state is changed": () => writeFileSync(files().state, "State"),
    "disk is cut": () => truncateSync(files().disk, 1),
    "manifest is of another": () => write({ key: "f".repeat(32) }),
    "manifest is cut": () => truncateSync(files().manifest, 10),
    "manifest is JSON of another kind": () => writeFileSync(files().manifest, "[]"),
  };
  test.each(Object.entries(damages))("whose %s is not used, and removed", (_, damage) => {
    damage();
    expect(findTemplate({ cacheDir }, key)).toMatchObject({ why: expect.stringContaining("was damaged") });
    expect(statSync(files().dir, { throwIfNoEntry: false })).toBeUndefined();
  });

  test("is listed with what it takes; what is not one is not", () => {
    mkdirSync(join(templateLayout({ cacheDir }).root, "home"), { recursive: true });
    expect(listTemplates({ cacheDir })).toMatchObject([{ key }]);
  });
});

describe("which templates go when there are too many", () => {
  const stored = (key: string, diskBytes: number, usedAt: number) => ({ key, diskBytes, usedAt });
  const four = [stored("a", 4, 1), stored("b", 4, 4), stored("c", 4, 2), stored("d", 4, 3)];

  test.each([
    [16, [], []],
    [12, [], ["a"]],
    [8, [], ["c", "a"]],
    [8, ["a"], ["c"]],
    [0, ["b"], ["d", "c", "a"]],
  ])("with room for %i and %j in use: %j", (maxBytes, inUse, gone) => {
    expect(surplus(four, maxBytes, new Set(inUse))).toEqual(gone);
  });
});
