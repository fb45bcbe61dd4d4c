import { mkdir, readdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Arch } from "../../config/spec.ts";
import { SmolVMError } from "../../errors.ts";
import { writeDurably } from "../../host/files/write-durably.ts";
import { ownQemuLayout, ownQemuProgram } from "../../host/own-qemu/layout.ts";
import { removeOldPlaces } from "../../host/own-qemu/place.ts";
import { chosenQemu, DISTRIBUTION, OWN_QEMU_NAME } from "../../host/own-qemu/which.ts";
import { rename, rm } from "../../util/files-go.ts";
import { type ImageDirs, MANIFEST_FILE } from "./layout.ts";
import { type ManifestFile, sha256File } from "./manifest.ts";
import { readText } from "./read-text.ts";

/** What a QEMU of ours is and what it was made of: its manifest.json. */
export interface QemuManifest {
  readonly version: 1;
  /** of its guests */
  readonly arch: Arch;
  /** e.g. "10.0.13" */
  readonly qemuVersion: string;
  /** sha256 (hex) over the recipe */
  readonly recipe: string;
  readonly license: "GPL-2.0-only";
  /** Debian's packages, of the release `suite` */
  readonly suite: string;
  readonly inputs: readonly {
    readonly kind: "source" | "package";
    readonly package: string;
    readonly version: string;
    readonly sha256: string;
    /** it is the version that the recipe names */
    readonly pinned: boolean;
  }[];
  /** first line of the compiler's --version */
  readonly compiler: string;
  readonly files: readonly ManifestFile[];
  /** ISO 8601 */
  readonly createdAt: string;
}

/** A QEMU that was built here. Its files never change. */
export interface BuiltQemu {
  readonly name: string;
  readonly arch: Arch;
  /** absolute path of the program */
  readonly path: string;
  readonly manifest: QemuManifest;
  /** it is the one that is used for guests of its architecture */
  readonly used: boolean;
}

/** All of them, sorted by name. A damaged one is left out: a build replaces it. */
export async function listQemus(dirs: ImageDirs): Promise<BuiltQemu[]> {
  const names = await readdir(ownQemuLayout(dirs).built).catch(() => []);
  return names.sort().flatMap((name) => readQemu(dirs, name) ?? []);
}

/** The QEMU of that name, or undefined. */
export function readQemu(dirs: ImageDirs, name: string): BuiltQemu | undefined {
  if (!OWN_QEMU_NAME.test(name)) return undefined;
  const dir = ownQemuLayout(dirs).build(name);
  const manifest = parse(readText(join(dir, MANIFEST_FILE)));
  if (manifest === undefined) return undefined;
  const { arch } = manifest;
  return { name, arch, path: ownQemuProgram(dir, arch), manifest, used: chosenQemu(dirs, arch) === name };
}

function parse(text: string | undefined): QemuManifest | undefined {
  try {
    const manifest = JSON.parse(text ?? "") as QemuManifest;
    const known = manifest.version === 1 && (manifest.arch === "x86_64" || manifest.arch === "aarch64");
    return known && Array.isArray(manifest.files) ? manifest : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Makes a QEMU the one that sandboxes are started with from now on; those that run keep theirs.
 * @throws SmolVMError IMAGE_NOT_FOUND
 */
export async function useQemu(dirs: ImageDirs, name: string): Promise<BuiltQemu> {
  const qemu = readQemu(dirs, name);
  if (qemu === undefined) throw await qemuNotFound(dirs, name);
  await writeDurably(ownQemuLayout(dirs).ref(qemu.arch), `${JSON.stringify({ name })}\n`);
  return { ...qemu, used: true };
}

/** Goes back to the distribution's QEMU. Nothing is removed. */
export async function useDistributionQemu(dirs: ImageDirs, arch: Arch): Promise<void> {
  await writeDurably(ownQemuLayout(dirs).ref(arch), `${JSON.stringify({ name: DISTRIBUTION })}\n`);
}

/**
 * Removes a QEMU. What runs on it goes on: its program is gone when the last of them has ended.
 * @throws SmolVMError IMAGE_NOT_FOUND
 */
export async function removeQemu(dirs: ImageDirs, name: string): Promise<void> {
  const qemu = readQemu(dirs, name);
  if (qemu === undefined) throw await qemuNotFound(dirs, name);
  if (qemu.used) await rm(ownQemuLayout(dirs).ref(qemu.arch), { force: true });
  await rm(ownQemuLayout(dirs).build(name), { recursive: true, force: true });
  removeOldPlaces(dirs);
}

/** Whether all its files are what was built. */
export async function isWholeQemu(dirs: ImageDirs, { name, manifest }: BuiltQemu): Promise<boolean> {
  const dir = ownQemuLayout(dirs).build(name);
  for (const { path, sha256 } of manifest.files)
    if ((await sha256File(join(dir, path)).catch(() => undefined)) !== sha256) return false;
  return true;
}

/**
 * Takes a finished build in: its directory gets its final name.
 * @param dir with all files but manifest.json; on the same file system as the store
 */
export async function addQemu(
  dirs: ImageDirs,
  dir: string,
  name: string,
  manifest: QemuManifest,
): Promise<BuiltQemu> {
  const final = ownQemuLayout(dirs).build(name);
  await writeDurably(join(dir, MANIFEST_FILE), `${JSON.stringify(manifest, undefined, 2)}\n`);
  await mkdir(dirname(final), { recursive: true, mode: 0o700 });
  const there = readQemu(dirs, name);
  if (there !== undefined && (await isWholeQemu(dirs, there))) {
    await rename(join(dir, MANIFEST_FILE), join(final, MANIFEST_FILE)); // only this tells newer things (recipe, time)
    await rm(dir, { recursive: true, force: true });
  } else {
    await rm(final, { recursive: true, force: true });
    await rename(dir, final);
  }
  const qemu = readQemu(dirs, name);
  if (qemu === undefined) throw new SmolVMError("INTERNAL", `the QEMU '${name}' is not in the store`);
  return qemu;
}

async function qemuNotFound(dirs: ImageDirs, name: string): Promise<SmolVMError> {
  const known = (await listQemus(dirs)).map((qemu) => qemu.name);
  return new SmolVMError("IMAGE_NOT_FOUND", `there is no QEMU '${name}'`, {
    hint:
      known.length === 0
        ? "Build one: smolvm qemu build"
        : `There are: ${known.join(", ")}, and ${DISTRIBUTION} (the one that is installed).`,
    details: { qemu: name },
  });
}
