import { mkdir, readdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Arch } from "../../config/spec.ts";
import { SmolVMError } from "../../errors.ts";
import { writeDurably } from "../../host/files/write-durably.ts";
import { rename, rm } from "../../util/files-go.ts";
import { kernelLayout } from "./kernel-layout.ts";
import { type KernelManifest, parseKernelManifest } from "./kernel-manifest.ts";
import { type ImageDirs, MANIFEST_FILE } from "./layout.ts";
import { sha256File } from "./manifest.ts";
import { readText } from "./read-text.ts";
import { removeFirst } from "./users.ts";

/** A built kernel in the store. Its files never change. */
export interface BuiltKernel {
  readonly name: string;
  readonly arch: Arch;
  /** absolute path of vmlinux (x86_64) or Image (aarch64) */
  readonly path: string;
  readonly manifest: KernelManifest;
  /** it is the one that is used for its architecture */
  readonly used: boolean;
}

/** All built kernels, sorted by name. A damaged one is left out: it cannot be used, and a build replaces it. */
export async function listKernels(dirs: ImageDirs): Promise<BuiltKernel[]> {
  const names = await readdir(kernelLayout(dirs).built).catch(() => []);
  const kernels = await Promise.all(
    names.sort().map((name) => readKernel(dirs, name).catch(() => undefined)),
  );
  return kernels.filter((kernel) => kernel !== undefined);
}

/**
 * The built kernel that is used for an architecture, or undefined: then an image's own (Debian's) kernel is.
 * @throws SmolVMError IMAGE_INVALID
 */
export async function usedKernel(dirs: ImageDirs, arch: Arch): Promise<BuiltKernel | undefined> {
  const name = readUsed(dirs, arch);
  return name === undefined ? undefined : readKernel(dirs, name);
}

/** The kernel that is used for an architecture; where Debian's was chosen, the newest that was built all the same. */
export async function anyKernel(dirs: ImageDirs, arch: Arch): Promise<BuiltKernel | undefined> {
  const used = await usedKernel(dirs, arch);
  if (used !== undefined) return used;
  const built = (await listKernels(dirs)).filter((kernel) => kernel.arch === arch);
  return built.sort((a, b) => (a.manifest.createdAt < b.manifest.createdAt ? 1 : -1))[0];
}

/**
 * Makes a built kernel the one that is used for its architecture; sandboxes that exist keep theirs.
 * @throws SmolVMError IMAGE_NOT_FOUND, IMAGE_INVALID
 */
export async function useKernel(dirs: ImageDirs, name: string): Promise<BuiltKernel> {
  const kernel = await readKernel(dirs, name);
  if (kernel === undefined) throw kernelNotFound(name, await listKernels(dirs));
  await writeDurably(kernelLayout(dirs).ref(kernel.arch), `${JSON.stringify({ name })}\n`);
  return { ...kernel, used: true };
}

/** Goes back to the images' own kernels for an architecture. Nothing is removed. */
export async function useDebianKernel(dirs: ImageDirs, arch: Arch): Promise<void> {
  await writeDurably(kernelLayout(dirs).ref(arch), `${JSON.stringify({ name: DEBIAN })}\n`);
}

/** Whether a kernel, or Debian's, was chosen for an architecture. */
export async function kernelIsChosen(dirs: ImageDirs, arch: Arch): Promise<boolean> {
  return readText(kernelLayout(dirs).ref(arch)) !== undefined;
}

/**
 * Removes a built kernel.
 * @param users names of the sandboxes that boot the kernel at that path; asked first
 * @throws SmolVMError IMAGE_NOT_FOUND, IMAGE_IN_USE
 */
export async function removeKernel(
  dirs: ImageDirs,
  name: string,
  users: (path: string) => readonly string[] | Promise<readonly string[]>,
): Promise<void> {
  const kernel = await readKernel(dirs, name);
  if (kernel === undefined) throw kernelNotFound(name, await listKernels(dirs));
  const usedBy = await users(kernel.path);
  if (usedBy.length > 0) {
    throw new SmolVMError("IMAGE_IN_USE", `the kernel '${name}' is used by ${usedBy.join(", ")}`, {
      hint: removeFirst(usedBy),
      details: { kernel: name, usedBy },
    });
  }
  if (kernel.used) await rm(kernelLayout(dirs).ref(kernel.arch), { force: true });
  await rm(kernelLayout(dirs).kernel(name), { recursive: true, force: true });
}

/**
 * Reads all files of a kernel and compares them with its manifest.
 * @throws SmolVMError IMAGE_INVALID (details.files)
 */
export async function verifyKernel(dirs: ImageDirs, kernel: BuiltKernel): Promise<void> {
  const dir = kernelLayout(dirs).kernel(kernel.name);
  const wrong: string[] = [];
  for (const { path, sha256 } of kernel.manifest.files) {
    const now = await sha256File(join(dir, path)).catch(() => undefined);
    if (now !== sha256) wrong.push(`${path} ${now === undefined ? "is missing" : "has changed"}`);
  }
  if (wrong.length === 0) return;
  throw new SmolVMError("IMAGE_INVALID", `the kernel '${kernel.name}' is damaged: ${wrong.join(", ")}`, {
    hint: `Build it again: smolvm image kernel build --arch ${kernel.arch} --force`,
    details: { kernel: kernel.name, files: wrong },
  });
}

/** The built kernel of that name, or undefined. */
export async function readKernel(dirs: ImageDirs, name: string): Promise<BuiltKernel | undefined> {
  if (!KERNEL_NAME.test(name)) return undefined;
  const dir = kernelLayout(dirs).kernel(name);
  const text = readText(join(dir, MANIFEST_FILE));
  if (text === undefined) return undefined;
  const manifest = parseKernelManifest(text, join(dir, MANIFEST_FILE));
  const used = readUsed(dirs, manifest.arch);
  return { name, arch: manifest.arch, path: join(dir, manifest.file), manifest, used: used === name };
}

/** A kernel's name: the version of its source, its architecture and the start of its file's hash. Pure. */
export function kernelName({ source, arch, file, files }: KernelManifest): string {
  const { sha256 = "" } = files.find(({ path }) => path === file) ?? {};
  return `${source.version}-${arch}-${sha256.slice(0, 12)}`;
}

/**
 * Takes a finished build in: its directory gets its final name.
 * @param dir with all files but manifest.json; on the same file system as the store
 */
export async function addKernel(
  dirs: ImageDirs,
  dir: string,
  name: string,
  manifest: KernelManifest,
): Promise<BuiltKernel> {
  const final = kernelLayout(dirs).kernel(name);
  await writeDurably(join(dir, MANIFEST_FILE), `${JSON.stringify(manifest, undefined, 2)}\n`);
  await mkdir(dirname(final), { recursive: true, mode: 0o700 });
  // The name holds the kernel's hash: what is there with the same name and is whole is the same kernel.
  const there = await readKernel(dirs, name).catch(() => undefined);
  const whole =
    there !== undefined &&
    (await verifyKernel(dirs, there).then(
      () => true,
      () => false,
    ));
  if (whole) {
    await rename(join(dir, MANIFEST_FILE), join(final, MANIFEST_FILE)); // only this tells newer things (recipe, time)
    await rm(dir, { recursive: true, force: true });
  } else {
    await rm(final, { recursive: true, force: true });
    await rename(dir, final);
  }
  const kernel = await readKernel(dirs, name);
  if (kernel === undefined) throw new SmolVMError("INTERNAL", `the kernel '${name}' is not in the store`);
  return kernel;
}

/** What stands in a reference for the images' own kernels */
const DEBIAN = "debian";

/** e.g. "6.1.192-2-x86_64-3f9ab2c41d7e" */
const KERNEL_NAME = /^[A-Za-z0-9][\w.+~-]{0,99}$/;

function readUsed(dirs: ImageDirs, arch: Arch): string | undefined {
  const path = kernelLayout(dirs).ref(arch);
  const text = readText(path);
  if (text === undefined) return undefined;
  try {
    const { name } = JSON.parse(text) as { name?: unknown };
    if (name === DEBIAN) return undefined;
    if (typeof name === "string" && KERNEL_NAME.test(name)) return name;
  } catch {
    // told below
  }
  throw new SmolVMError("IMAGE_INVALID", `the file '${path}' is damaged`, {
    hint: "Choose the kernel again: smolvm image kernel use NAME",
  });
}

function kernelNotFound(name: string, known: readonly BuiltKernel[]): SmolVMError {
  return new SmolVMError("IMAGE_NOT_FOUND", `there is no kernel '${name}'`, {
    hint:
      known.length === 0
        ? "Build one: smolvm image kernel build"
        : `There are: ${known.map((kernel) => kernel.name).join(", ")}, and debian (the images' own).`,
    details: { kernel: name },
  });
}
