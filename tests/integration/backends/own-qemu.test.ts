import { chmodSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findQemu } from "../../../src/backends/qemu/locate.ts";
import { readEnvironment } from "../../../src/host/environment.ts";
import { ownQemuLayout, ownQemuProgram } from "../../../src/host/own-qemu/layout.ts";
import { buildQemu } from "../../../src/images/qemu-build/build.ts";
import { listQemus, type QemuManifest, useQemu } from "../../../src/images/store/qemu-store.ts";
import { Deadline } from "../../../src/util/deadline.ts";
import { cli } from "../../helpers/cli.ts";

const dir = realpathSync(mkdtempSync(join(tmpdir(), "smo-")));
const cacheDir = join(dir, "smolvm");
const env = { XDG_CACHE_HOME: dir };
const NAME = "10.0.13-x86_64-000000000000";
const bin = join(dir, "bin");
const distribution = join(bin, "qemu-system-x86_64");
const own = ownQemuProgram(ownQemuLayout({ cacheDir }).build(NAME), "x86_64");

function program(path: string): void {
  mkdirSync(join(path, ".."), { recursive: true, mode: 0o700 });
  writeFileSync(path, "#!/bin/sh\n");
  chmodSync(path, 0o755);
}

/** Where a machine's QEMU would be, with a search path that has nothing but what is put there. */
const found = (machine?: Parameters<typeof findQemu>[2], more: Record<string, string> = {}): unknown =>
  findQemu("x86_64", { cacheDir, env: readEnvironment({ PATH: bin, ...more }) }, machine);

beforeAll(() => {
  program(distribution);
  program(own);
  const manifest: Partial<QemuManifest> = {
    version: 1,
    arch: "x86_64",
    qemuVersion: "10.0.13",
    recipe: "0",
    files: [],
  };
  writeFileSync(join(ownQemuLayout({ cacheDir }).build(NAME), "manifest.json"), JSON.stringify(manifest));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe("which QEMU sandboxes run on", () => {
  test("is the distribution's as long as none of ours is in use", () => {
    expect(found()).toEqual({ path: distribution, origin: "distribution" });
  });

  test("is ours once it is in use, for the machines that it has", async () => {
    await useQemu({ cacheDir }, NAME);
    const ours = { path: own, origin: "built" };
    const theirs = { path: distribution, origin: "distribution" };
    expect(found()).toEqual(ours);
    expect(found({ machine: "microvm" })).toEqual(ours);
    expect(found({ machine: "q35" })).toEqual(theirs);
    expect(findQemu("aarch64", { cacheDir, env: readEnvironment({ PATH: bin }) })?.origin).not.toBe("built");
    expect(found(undefined, { SMOLVM_QEMU: distribution })).toEqual({ path: distribution, origin: "named" });
    expect(found({ machine: "microvm", network: "open", networkCard: "tap" })).toEqual(ours);
    expect(found({ machine: "microvm", network: "open", unfiltered: true })).toEqual(ours);
    // Its user-mode network cannot be filtered by a library.
    const open = { machine: "microvm", network: "open" } as const;
    expect(found({ ...open, gdbPort: 1234 })).toEqual(theirs);
    program(join(bin, "pasta"));
    expect(found(open)).toEqual(ours);
  });

  test("is told, chosen and removed by commands", async () => {
    expect(String((await cli(["qemu", "ls", "--quiet"], { env })).stdout)).toBe(`${NAME}\n`);
    expect((await cli(["qemu", "use", "distribution"], { env })).code).toBe(0);
    expect(found()).toEqual({ path: distribution, origin: "distribution" });
    expect((await cli(["qemu", "use", NAME], { env })).code).toBe(0);
    expect(found()).toEqual({ path: own, origin: "built" });
    const unknown = await cli(["qemu", "use", "x"], { env });
    expect([unknown.code, unknown.stderr]).toEqual([
      expect.any(Number),
      expect.stringContaining(`There are: ${NAME}`),
    ]);
    expect(unknown.code).not.toBe(0);
    expect((await cli(["qemu", "rm", NAME], { env })).code).toBe(0);
    expect(await listQemus({ cacheDir })).toEqual([]);
    expect(found()).toEqual({ path: distribution, origin: "distribution" });
  });
});

test("a recipe that does not fit fails before anything is downloaded", async () => {
  const deadline = Deadline.within(60_000, "building");
  const recipeDir = join(dir, "recipe");
  mkdirSync(recipeDir);
  await expect(buildQemu({ cacheDir }, { arch: "aarch64", deadline })).rejects.toMatchObject({
    code: "NOT_SUPPORTED",
  });
  await expect(buildQemu({ cacheDir }, { arch: "x86_64", deadline, recipeDir })).rejects.toMatchObject({
    code: "IMAGE_BUILD_FAILED",
    message: expect.stringContaining("has no 'recipe.json'"),
  });
});
