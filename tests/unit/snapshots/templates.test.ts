import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { backendOf } from "../../../src/backends/registry.ts";
import type { MachineSpec } from "../../../src/config/spec.ts";
import { readEnvironment } from "../../../src/host/environment.ts";
import { templateLayout } from "../../../src/snapshots/layout.ts";
import { type MachineFacts, templateKey } from "../../../src/snapshots/machine-facts.ts";
import { hashOf, stampOf } from "../../../src/snapshots/manifest.ts";
import { findTemplate, listTemplates, surplus, type Template } from "../../../src/snapshots/store.ts";

const FACTS: MachineFacts = {
  shape: ["-machine microvm", "-m 512M"],
  diskSizeMib: 2048,
  files: [{ role: "vmm", path: "/usr/bin/qemu", size: 1, mtimeMs: 2, inode: 3 }],
  cpu: "a CPU fpu vme",
};

describe("the key of a template", () => {
  const key = templateKey(FACTS);

  test("is the same for the same facts", () => {
    expect(key).toMatch(/^[0-9a-f]{32}$/);
    expect(templateKey(structuredClone(FACTS))).toBe(key);
  });

  const changes: Record<string, MachineFacts> = {
    machine: { ...FACTS, shape: ["-machine microvm", "-m 256M"] },
    "order of what the machine has": { ...FACTS, shape: FACTS.shape.toReversed() },
    "size of the disk": { ...FACTS, diskSizeMib: 4096 },
    VMM: { ...FACTS, files: [{ ...FACTS.files[0]!, mtimeMs: 3 }] },
    "host CPU": { ...FACTS, cpu: "a CPU fpu" },
  };
  test.each(Object.entries(changes))("is another with another %s", (_, facts) => {
    expect(templateKey(facts)).not.toBe(key);
  });

  test("is another with another kind of network card, which is not seen in the shape", () => {
    expect(templateKey(FACTS, "slirp")).not.toBe(key);
    expect(templateKey(FACTS, "tap")).not.toBe(templateKey(FACTS, "slirp"));
  });
});

describe("QEMU's shape of a machine", () => {
  const qemu = backendOf("qemu", { cacheDir: "/cache", env: readEnvironment({}) });
  const spec: MachineSpec = {
    backend: "qemu",
    arch: "x86_64",
    machine: "microvm",
    accelerator: "tcg",
    vcpuCount: 1,
    memSizeMib: 512,
    kernelPath: "/a/vmlinux",
    initrdPath: "/a/initrd",
    bootArgs: "",
    disks: [{ serial: "smolvm-upper", path: "/vms/a/upper.img", format: "raw", readOnly: false }],
    network: "off",
    sessionPorts: 4,
  };
  const shape = (more: Partial<MachineSpec> = {}): string =>
    JSON.stringify(qemu.shape?.({ ...spec, ...more }));

  test("does not tell two sandboxes of one kind apart", () => {
    const disks = [{ ...spec.disks[0]!, path: "/vms/b/upper.img" }];
    expect(shape({ disks, kernelPath: "/b/vmlinux" })).toBe(shape());
  });

  const changes: Record<string, Partial<MachineSpec>> = {
    accelerator: { accelerator: "kvm" },
    "number of CPUs": { vcpuCount: 2 },
    memory: { memSizeMib: 256 },
    "network card": { network: "open", networkCard: "slirp" },
    "boot argument": { bootArgs: "debug" },
    "number of session ports": { sessionPorts: 3 },
    disk: { disks: [] },
    "way to find devices": { discovery: "command-line" },
  };
  test.each(Object.entries(changes))("is another with another %s", (_, change) => {
    expect(shape(change)).not.toBe(shape());
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

  function found(): Template {
    const template = findTemplate({ cacheDir }, key);
    if ("why" in template) throw new Error(template.why);
    return template;
  }

  test("is found with its state", () => {
    expect(found().readState()).toEqual(Buffer.from("state"));
  });

  describe("that was seen whole", () => {
    beforeEach(() => {
      write();
      writeFileSync(files().code, "code");
      write({ code: stampOf(files().code) });
      found().noteWhole();
    });
    const wholeFor = (): unknown => (found().code as { wholeFor?: string }).wholeFor;

    test("is not compared again, nor is what it had translated", () => {
      expect(found().readState()).toEqual(Buffer.from("state"));
      expect(wholeFor()).toBe(hashOf(Buffer.from("state")));
    });

    test.each(["state", "disk"] as const)("is, when its %s was written to", (file) => {
      const { atime, mtime } = statSync(files()[file]);
      writeFileSync(files()[file], file === "state" ? "stale" : "disc");
      utimesSync(files()[file], atime, mtime);
      expect(wholeFor()).toBeUndefined();
      expect(() => found().readState()).toThrow("was changed");
    });

    test("is, when the machine was booted since", () => {
      const manifest = JSON.parse(readFileSync(files().manifest, "utf8"));
      manifest.seen.bootId = "another";
      writeFileSync(files().manifest, JSON.stringify(manifest));
      expect(wholeFor()).toBeUndefined();
      found().noteWhole();
      expect(wholeFor()).toBeDefined();
    });

    test("has no translations that are known to be whole, when their file was written to", () => {
      writeFileSync(files().code, "cede");
      expect(found().code).toEqual({ why: "their file was changed or moved" });
    });
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
    "manifest is of another": () => write({ key: "f".repeat(32) }),
    "manifest is cut": () => truncateSync(files().manifest, 10),
    "manifest is JSON of another kind": () => writeFileSync(files().manifest, "[]"),
  };
  test.each(Object.entries(damages))("whose %s is not used, and removed", (_, damage) => {
    damage();
    expect(findTemplate({ cacheDir }, key)).toMatchObject({ why: expect.stringContaining("was damaged") });
    expect(statSync(files().dir, { throwIfNoEntry: false })).toBeUndefined();
  });

  test.each<[string, () => void]>([
    ["state is changed", () => writeFileSync(files().state, "State")],
    ["state is gone", () => rmSync(files().state)],
    ["disk is cut", () => truncateSync(files().disk, 1)],
  ])("whose %s gives no state", (_, damage) => {
    damage();
    expect(() => found().readState()).toThrow("of the template was changed");
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
