import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { locateQemu } from "../../../src/backends/qemu/locate.ts";
import { probeQemu } from "../../../src/backends/qemu/probe.ts";
import { selectBackend } from "../../../src/backends/select.ts";
import { type Environment, readEnvironment } from "../../../src/host/environment.ts";

let dir: string;
let cacheDir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "smp-"));
  cacheDir = join(dir, "cache");
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const environment = (change: Record<string, string>): Environment =>
  readEnvironment({ PATH: process.env.PATH, ...change });

/** A program in the QEMU's place. */
const fake = (name: string, script: string): string => {
  const path = join(dir, name);
  writeFileSync(path, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  return path;
};

describe("asking a QEMU what it is", () => {
  test("a real one says its version, machines, accelerators and seccomp filter", async () => {
    const path = locateQemu("x86_64", { cacheDir, env: environment({}) })!;
    expect(await probeQemu(path, cacheDir)).toMatchObject({
      version: expect.stringMatching(/^\d+\.\d+\.\d+$/),
      target: "x86_64",
      machines: ["microvm", "q35"],
      accelerators: expect.arrayContaining(["tcg"]),
      sandbox: process.platform === "linux",
    });
  });

  test("the answer is kept for as long as the file stays the same", async () => {
    const real = locateQemu("x86_64", { cacheDir, env: environment({}) })!;
    const count = join(dir, "count");
    const path = fake("counting", `echo x >> ${count}; exec ${real} "$@"`);
    const asked = (): number => readdirSync(dir).filter((name) => name === "count").length;
    await probeQemu(path, cacheDir);
    expect(asked()).toBe(1);
    rmSync(count);
    await probeQemu(path, cacheDir);
    expect(asked()).toBe(0);
    utimesSync(path, new Date(0), new Date(0)); // as after an upgrade
    await probeQemu(path, cacheDir);
    expect(asked()).toBe(1);
  });

  test("a damaged cache is as good as none", async () => {
    const path = locateQemu("x86_64", { cacheDir, env: environment({}) })!;
    const other = join(dir, "other-cache");
    await probeQemu(path, other);
    for (const name of readdirSync(other)) writeFileSync(join(other, name), "{");
    expect((await probeQemu(path, other)).target).toBe("x86_64");
  });

  test("one built without seccomp is asked again without it", async () => {
    const real = locateQemu("x86_64", { cacheDir, env: environment({}) })!;
    const path = fake(
      "no-seccomp",
      `case "$*" in *-sandbox*) echo 'seccomp support is disabled' >&2; exit 1;; esac; exec ${real} "$@"`,
    );
    expect(await probeQemu(path, cacheDir)).toMatchObject({ sandbox: false, target: "x86_64" });
  });

  test("one that does not run is BACKEND_UNAVAILABLE with its own last words", async () => {
    const path = fake("broken", "echo 'error while loading shared libraries: libfdt.so.1' >&2; exit 127");
    await expect(probeQemu(path, cacheDir)).rejects.toMatchObject({
      code: "BACKEND_UNAVAILABLE",
      message: expect.stringContaining("libfdt.so.1"),
    });
  });

  test("something that is no QEMU is BACKEND_UNAVAILABLE", async () => {
    await expect(probeQemu(fake("other", "echo hello"), cacheDir)).rejects.toMatchObject({
      code: "BACKEND_UNAVAILABLE",
    });
  });
});

describe("choosing a backend on this host", () => {
  const select = (requested: string | undefined, change: Record<string, string>) =>
    selectBackend(requested, {
      host: { cacheDir, env: environment(change) },
      arch: "x86_64",
      platform: "linux",
    });

  test("auto takes QEMU and says why not Firecracker", async () => {
    const selection = await select(undefined, {});
    expect(selection).toMatchObject({ backend: "qemu", requested: "auto" });
    expect(selection.candidates.map(({ name, usable }) => `${name} ${usable}`)).toEqual([
      "firecracker false",
      "qemu true",
    ]);
  });

  test("SMOLVM_BACKEND is a choice like an argument, and the argument wins", async () => {
    // For want of KVM, or of Firecracker.
    await expect(select(undefined, { SMOLVM_BACKEND: "firecracker" })).rejects.toMatchObject({
      code: expect.stringMatching(/^(KVM|BACKEND)_UNAVAILABLE$/),
    });
    expect(await select("qemu", { SMOLVM_BACKEND: "firecracker" })).toMatchObject({
      backend: "qemu",
      requested: "qemu",
    });
  });

  test("a host without QEMU is told what is missing and how to install it", async () => {
    const empty = join(dir, "empty");
    mkdirSync(empty, { recursive: true });
    await expect(select("qemu", { SMOLVM_QEMU: join(empty, "qemu-system-x86_64") })).rejects.toMatchObject({
      code: "BACKEND_UNAVAILABLE",
      message: "backend 'qemu' cannot run on this host: qemu-system-x86_64 not found",
      hint: expect.stringContaining("SMOLVM_QEMU"),
    });
  });

  test("SMOLVM_QEMU may be a binary or the directory that holds it", async () => {
    const real = locateQemu("x86_64", { cacheDir, env: environment({}) })!;
    const bin = join(dir, "bin");
    mkdirSync(bin);
    symlinkSync(real, join(bin, "qemu-system-x86_64"));
    for (const value of [bin, join(bin, "qemu-system-x86_64")]) {
      const { candidates } = await select("qemu", { SMOLVM_QEMU: value });
      expect(candidates[0]?.reason).toContain(join(bin, "qemu-system-x86_64"));
    }
  });

  test("a QEMU for other guests is refused by name", async () => {
    const arm = locateQemu("aarch64", { cacheDir, env: environment({}) })!;
    await expect(select("qemu", { SMOLVM_QEMU: arm })).rejects.toMatchObject({
      message: expect.stringContaining("runs aarch64 guests, not x86_64"),
    });
  });
});
