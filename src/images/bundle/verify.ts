import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Arch } from "../../config/spec.ts";
import { checkSeed } from "../disk/seed.ts";
import { detectKernelFormat, KERNEL_HEAD_BYTES, kernelArch } from "../formats/kernel-format.ts";
import { readHead } from "../formats/read-head.ts";
import { detectRootfs, ROOTFS_HEAD_BYTES } from "../formats/rootfs-format.ts";
import type { ImageOrigin } from "../store/image.ts";
import { type KernelManifest, parseKernelManifest } from "../store/kernel-manifest.ts";
import { kernelName } from "../store/kernel-store.ts";
import { MANIFEST_FILE } from "../store/layout.ts";
import { type Manifest, manifestDigest, parseManifest } from "../store/manifest.ts";
import {
  AGENT_FILE,
  type BundleManifest,
  badBundle,
  IMAGE_DIRECTORY,
  INITRAMFS_FILE,
  KERNEL_DIRECTORY,
} from "./bundle-manifest.ts";

/** What a bundle that was unpacked holds. */
export interface VerifiedBundle {
  readonly image: Manifest;
  readonly kernel: KernelManifest | undefined;
  readonly hasAgent: boolean;
}

/**
 * Checks that an unpacked bundle, whose files are as its manifest lists them (unpack.ts), makes sense: the manifests of image
 * and kernel list exactly those files, digest and names follow from them, everything is for one architecture and of a format
 * that can be booted, and empty disks are empty. So nothing of it can surprise a later step that trusts the store.
 * @throws SmolVMError IMAGE_INVALID
 */
export async function verifyBundle(dir: string, bundle: BundleManifest): Promise<VerifiedBundle> {
  const has = (path: string): boolean => bundle.files.some((file) => file.path === path);
  const image = await verifyImage(dir, bundle);
  const hasKernel = bundle.files.some(({ path }) => path.startsWith(KERNEL_DIRECTORY));
  if (hasKernel !== (bundle.kernel !== undefined)) throw badBundle("it does not say which kernel it holds");
  const kernel = hasKernel ? await verifyKernel(dir, bundle) : undefined;
  if (has(AGENT_FILE) && kernelArch(await readHead(join(dir, AGENT_FILE), KERNEL_HEAD_BYTES)) !== bundle.arch)
    throw badBundle(`its agent is no program for ${bundle.arch}`);
  if (has(INITRAMFS_FILE)) {
    const magic = Buffer.from(await readHead(join(dir, INITRAMFS_FILE), 6)).toString("latin1");
    if (magic !== "070701") throw badBundle("its initramfs is not a cpio archive");
  }
  return { image, kernel, hasAgent: has(AGENT_FILE) };
}

async function verifyImage(dir: string, bundle: BundleManifest): Promise<Manifest> {
  const path = join(dir, IMAGE_DIRECTORY, MANIFEST_FILE);
  const text = await readFile(path, "utf8").catch(() => {
    throw badBundle("it holds no image");
  });
  const manifest = parseManifest(text, `${IMAGE_DIRECTORY}${MANIFEST_FILE}`);
  if (!isImageManifest(manifest)) throw badBundle("the manifest of its image is damaged");
  if (manifest.name !== bundle.name || manifest.arch !== bundle.arch)
    throw badBundle("its image is another one than it says");
  requireSameFiles(bundle, IMAGE_DIRECTORY, manifest.files);
  if (manifestDigest(manifest) !== bundle.digest) throw badBundle("the digest of its image is wrong");

  await requireKernel(join(dir, IMAGE_DIRECTORY, manifest.kernel.file), bundle.arch);
  const rootfs = join(dir, IMAGE_DIRECTORY, manifest.rootfs.file);
  if (
    detectRootfs(await readHead(rootfs, ROOTFS_HEAD_BYTES), manifest.rootfs.file).format !==
    manifest.rootfs.format
  )
    throw badBundle("its root file system is of another format than it says");
  for (const file of manifest.seeds.files) {
    if (!file.startsWith(`${manifest.seeds.directory}/`))
      throw badBundle(`'${file}' is not where empty disks are`);
    checkSeed(join(dir, IMAGE_DIRECTORY, file));
  }
  return manifest;
}

async function verifyKernel(dir: string, bundle: BundleManifest): Promise<KernelManifest> {
  const text = await readFile(join(dir, KERNEL_DIRECTORY, MANIFEST_FILE), "utf8").catch(() => {
    throw badBundle("the manifest of its kernel is missing");
  });
  const manifest = parseKernelManifest(text, `${KERNEL_DIRECTORY}${MANIFEST_FILE}`);
  if (!isKernelManifest(manifest)) throw badBundle("the manifest of its kernel is damaged");
  requireSameFiles(bundle, KERNEL_DIRECTORY, manifest.files);
  if (manifest.arch !== bundle.arch || kernelName(manifest) !== bundle.kernel)
    throw badBundle("its kernel is another one than it says");
  await requireKernel(join(dir, KERNEL_DIRECTORY, manifest.file), bundle.arch);
  return manifest;
}

/** The files that the bundle holds in a directory are those that the manifest in it lists: sizes and hashes included. */
function requireSameFiles(
  bundle: BundleManifest,
  directory: string,
  listed: readonly { path: string; sha256: string; sizeBytes: number }[],
): void {
  const lines = (files: typeof listed): string =>
    files
      .map(({ path, sha256, sizeBytes }) => `${path} ${sha256} ${sizeBytes}`)
      .sort()
      .join("\n");
  const held = bundle.files
    .filter(({ path }) => path.startsWith(directory) && path !== `${directory}${MANIFEST_FILE}`)
    .map((file) => ({ ...file, path: file.path.slice(directory.length) }));
  if (lines(held) !== lines(listed))
    throw badBundle(`the files in ${directory} are not those that are listed there`);
}

async function requireKernel(path: string, arch: Arch): Promise<void> {
  const bytes = await readHead(path, KERNEL_HEAD_BYTES);
  const format = detectKernelFormat(bytes);
  if ((format !== "vmlinux" && format !== "arm64-image") || kernelArch(bytes) !== arch)
    throw badBundle(`a kernel in it is none for ${arch}`);
}

/** Every field that something later reads is of its type; parseManifest has looked at the paths. Pure. */
function isImageManifest(manifest: Manifest): boolean {
  const { rootfs, kernel, seeds, modules, packages, createdAt, recipe } = manifest;
  const named = (list: unknown): boolean =>
    Array.isArray(list) &&
    list.length < 10_000 &&
    list.every((item: unknown) => {
      const { name, version } = (item ?? {}) as { name?: unknown; version?: unknown };
      return isWord(name) && isWord(version);
    });
  return (
    ["squashfs", "erofs", "ext4"].includes(rootfs.format) &&
    [kernel.version, kernel.packageName, kernel.packageVersion, createdAt, recipe].every(isWord) &&
    isWord(seeds?.directory) &&
    Array.isArray(modules) &&
    modules.every(
      ({ name, depends }) => isModule(name) && Array.isArray(depends) && depends.every(isModule),
    ) &&
    named(packages) &&
    (manifest.origin === undefined || isOrigin(manifest.origin))
  );
}

/** What a pulled image says of itself becomes environment, user and command of sandboxes. */
function isOrigin(origin: ImageOrigin): boolean {
  const isText = (value: unknown): boolean => typeof value === "string" && value.length < 4096;
  const isDigest = (value: unknown): boolean =>
    typeof value === "string" && /^sha256:[0-9a-f]{64}$/.test(value);
  const list = (value: unknown, of: (item: unknown) => boolean): boolean =>
    Array.isArray(value) && value.length <= 1000 && value.every(of);
  const { reference, manifest, recipe, config, layers, configDigest, history, created } = origin ?? {};
  const { env, user, workdir, entrypoint, cmd, exposedPorts, volumes, labels, stopSignal } = config ?? {};
  const isMap = (value: unknown): boolean =>
    typeof value === "object" &&
    value !== null &&
    !Array.isArray(value) &&
    list(Object.values(value), (item) => typeof item === "string");
  return (
    isText(reference) &&
    [manifest, configDigest].every(isDigest) &&
    Number.isSafeInteger(recipe) &&
    [env, labels].every(isMap) &&
    [entrypoint, cmd].every((words) => list(words, (word) => typeof word === "string")) &&
    [exposedPorts, volumes].every((words) => list(words, isText)) &&
    [user, workdir, stopSignal, created].every((value) => value === undefined || isText(value)) &&
    list(layers, (layer) => {
      const { mediaType, digest, size } = (layer ?? {}) as Partial<ImageOrigin["layers"][number]>;
      return isText(mediaType) && isDigest(digest) && Number.isSafeInteger(size);
    }) &&
    list(history, (step) => isText((step as { createdBy?: unknown } | undefined)?.createdBy))
  );
}

function isKernelManifest(manifest: KernelManifest): boolean {
  const { kernelVersion, recipe, source, patches, compiler, createdAt } = manifest;
  return (
    [kernelVersion, recipe, source?.package, source?.version, source?.sha256, compiler, createdAt].every(
      isWord,
    ) &&
    Array.isArray(patches) &&
    patches.every((patch) => isWord(patch?.name) && isWord(patch?.sha256))
  );
}

/** Printable ASCII of a sane length: it is shown on terminals. */
function isWord(value: unknown): value is string {
  return typeof value === "string" && /^[ -~]{0,200}$/.test(value);
}

function isModule(value: unknown): value is string {
  return typeof value === "string" && /^\w{1,60}$/.test(value);
}
