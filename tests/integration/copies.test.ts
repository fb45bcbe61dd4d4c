import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { rolldown } from "rolldown";
import { afterAll, beforeAll, expect, test } from "vitest";
import * as first from "../../src/index.ts";
import { useTempHome } from "../helpers/home.ts";

const ROOT = join(import.meta.dirname, "../..");

useTempHome();

/** Another copy of the package in this process: bundled into one CommonJS file, as a program's own build may have it. */
let second: typeof first;
let directory: string;
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "smt-copy-"));
  const file = join(directory, "smolvm.cjs");
  const build = await rolldown({ input: join(ROOT, "src/index.ts"), platform: "node" });
  await build.write({ file, format: "cjs", codeSplitting: false });
  await build.close();
  second = createRequire(import.meta.url)(file) as typeof first;
  process.env.SMOLVM_NATIVE_DIR = join(ROOT, "native");
});
afterAll(() => {
  delete process.env.SMOLVM_NATIVE_DIR;
  rmSync(directory, { recursive: true });
});

async function thrown(act: Promise<unknown>): Promise<unknown> {
  return await act.then(
    () => undefined,
    (error: unknown) => error,
  );
}

test("each of two copies of the package knows the other's errors, and uses the other's sandboxes", async () => {
  expect(second.SmolVM).not.toBe(first.SmolVM);
  expect(second.SmolVMError).not.toBe(first.SmolVMError);
  for (const [mine, other] of [
    [first, second],
    [second, first],
  ] as const) {
    await using vm = await other.SmolVM.create({ network: "off" });

    const failed = await thrown(vm.run("echo said; exit 3", { check: true }));
    expect(failed).not.toBeInstanceOf(mine.SmolVMError);
    expect(mine.isSmolVMError(failed)).toBe(true);
    expect(mine.isSmolVMError(failed, "RUN_FAILED")).toBe(true);
    expect(mine.isSmolVMError(failed, "RUN_TIMEOUT")).toBe(false);
    expect(mine.isRunError(failed, "RUN_FAILED") && failed.result).toMatchObject({
      stdout: "said\n",
      exitCode: 3,
    });
    expect(mine.isGone(failed)).toBe(false);

    const same = await mine.SmolVM.get(vm.name);
    expect((await same.run("echo hi")).stdout).toBe("hi\n");
    await vm.delete();
    const gone = await thrown(vm.run("true"));
    expect([mine.isGone(gone), mine.isSmolVMError(gone, "VM_NOT_FOUND"), mine.isRunError(gone)]).toEqual([
      true,
      true,
      false,
    ]);
    await same[Symbol.asyncDispose]();
  }
});

test("what is no error of ours is known as none", () => {
  const like = Object.assign(new Error("x"), { name: "SmolVMError", code: "VM_NOT_FOUND", result: {} });
  for (const error of [
    like,
    undefined,
    null,
    0,
    "SmolVMError",
    { code: "VM_NOT_FOUND" },
    Object.create(null),
  ])
    expect([first.isSmolVMError(error), first.isRunError(error), first.isGone(error)]).toEqual([
      false,
      false,
      false,
    ]);
});
