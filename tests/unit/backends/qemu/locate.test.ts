import { copyFileSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { findQemu } from "../../../../src/backends/qemu/locate.ts";
import { readEnvironment } from "../../../../src/host/environment.ts";

const dir = mkdtempSync(join(tmpdir(), "smolvm-locate-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** What is found where `SMOLVM_QEMU` names that. */
const named = (path: string): string | undefined =>
  findQemu("x86_64", { env: readEnvironment({ SMOLVM_QEMU: path, PATH: "" }), cacheDir: dir })?.path;

test("the QEMU that is named is a program, or in the directory that is named", () => {
  const program = join(dir, "qemu-system-x86_64");
  copyFileSync("/bin/true", program);
  expect(named(program)).toBe(program);
  expect(named(dir)).toBe(program);
});

test("what is not there, and what is below a file, is none", () => {
  const file = join(dir, "file");
  copyFileSync("/bin/true", file);
  expect(named(join(dir, "nothing"))).toBeUndefined();
  expect(named(join(file, "below"))).toBeUndefined();
});

test("what cannot be looked at is none", () => {
  const loop = join(dir, "loop"); // as where this user may not go, and for root as well
  symlinkSync(loop, loop);
  expect(named(loop)).toBeUndefined();
});
