import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Arch } from "../../../../src/config/spec.ts";
import { kernelLayout } from "../../../../src/images/store/kernel-layout.ts";
import {
  addKernel,
  type BuiltKernel,
  listKernels,
  removeKernel,
  useDebianKernel,
  usedKernel,
  useKernel,
  verifyKernel,
} from "../../../../src/images/store/kernel-store.ts";
import { smallKernelManifest } from "../../../helpers/small-image.ts";

let cacheDir: string;
const dirs = (): { cacheDir: string } => ({ cacheDir });

beforeEach(async () => {
  cacheDir = await mkdtemp(join(tmpdir(), "smolvm-kernels-"));
});
afterEach(async () => {
  await rm(cacheDir, { recursive: true, force: true });
});

async function add(name: string, content: string, arch: Arch = "x86_64"): Promise<BuiltKernel> {
  const dir = join(cacheDir, `finished-${name}`);
  await mkdir(dir);
  await writeFile(join(dir, "vmlinux"), content);
  await writeFile(join(dir, "config"), "CONFIG_NET=y\n");
  const manifest = await smallKernelManifest(dir, arch);
  return addKernel(dirs(), dir, name, manifest);
}

test("an empty store has no kernel, and no kernel is used", async () => {
  expect(await listKernels(dirs())).toEqual([]);
  expect(await usedKernel(dirs(), "x86_64")).toBeUndefined();
});

test("a kernel that was taken in is listed, and is used for its architecture only once it was chosen", async () => {
  const kernel = await add("one", "kernel 1");
  expect(await readFile(kernel.path, "utf8")).toBe("kernel 1");
  expect(await usedKernel(dirs(), "x86_64")).toBeUndefined();
  await useKernel(dirs(), "one");
  expect(await usedKernel(dirs(), "x86_64")).toMatchObject({ name: "one", used: true });
  expect(await usedKernel(dirs(), "aarch64")).toBeUndefined();
});

test("going back to Debian's kernel removes nothing", async () => {
  await add("one", "kernel 1");
  await useKernel(dirs(), "one");
  await useDebianKernel(dirs(), "x86_64");
  expect(await usedKernel(dirs(), "x86_64")).toBeUndefined();
  expect((await listKernels(dirs())).map(({ name, used }) => [name, used])).toEqual([["one", false]]);
});

test("a kernel that does not exist cannot be chosen, and the error names those that do", async () => {
  await add("one", "kernel 1");
  await expect(useKernel(dirs(), "two")).rejects.toMatchObject({
    code: "IMAGE_NOT_FOUND",
    hint: "There are: one, and debian (the images' own).",
  });
  await expect(useKernel(dirs(), "../one")).rejects.toMatchObject({ code: "IMAGE_NOT_FOUND" });
});

test("a kernel that a sandbox boots is not removed", async () => {
  const kernel = await add("one", "kernel 1");
  const users = (path: string): string[] => (path === kernel.path ? ["box"] : []);
  await expect(removeKernel(dirs(), "one", users)).rejects.toMatchObject({
    code: "IMAGE_IN_USE",
    message: "the kernel 'one' is used by box",
  });
  expect(await listKernels(dirs())).toHaveLength(1);
});

test("a removed kernel is no longer used", async () => {
  await add("one", "kernel 1");
  await useKernel(dirs(), "one");
  await removeKernel(dirs(), "one", () => []);
  expect(await usedKernel(dirs(), "x86_64")).toBeUndefined();
  expect(await listKernels(dirs())).toEqual([]);
});

test("a changed file is found by verifying, and the same build taken in again repairs it", async () => {
  const kernel = await add("one", "kernel 1");
  await verifyKernel(dirs(), kernel);
  await writeFile(kernel.path, "kernel X");
  await expect(verifyKernel(dirs(), kernel)).rejects.toMatchObject({
    code: "IMAGE_INVALID",
    details: { files: ["vmlinux has changed"] },
  });
  await verifyKernel(dirs(), await add("one", "kernel 1"));
});

test("a damaged or newer manifest is told by its path, and the list goes on without it", async () => {
  await add("one", "kernel 1");
  await add("two", "kernel 2");
  await useKernel(dirs(), "one");
  const manifest = join(kernelLayout(dirs()).kernel("one"), "manifest.json");
  for (const text of ["{", "{}", '{"version":1,"arch":"x86_64","file":"../x","files":[{"path":"../x"}]}']) {
    await writeFile(manifest, text);
    await expect(usedKernel(dirs(), "x86_64")).rejects.toThrow(
      `the kernel manifest '${manifest}' is damaged`,
    );
  }
  await writeFile(manifest, '{"version":2}');
  await expect(usedKernel(dirs(), "x86_64")).rejects.toThrow("of a version that this smolvm does not know");
  expect((await listKernels(dirs())).map(({ name }) => name)).toEqual(["two"]);
});
