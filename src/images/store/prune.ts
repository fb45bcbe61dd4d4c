import { randomBytes } from "node:crypto";
import { lstat, mkdir, readdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Deadline } from "../../util/deadline.ts";
import { rename, rm } from "../../util/files-go.ts";
import { acquireLock, isLocked } from "./build-lock.ts";
import { layerNotes, listDownloads, ownImages } from "./downloads.ts";
import { kernelLayout } from "./kernel-layout.ts";
import { listKernels } from "./kernel-store.ts";
import { type ImageDirs, imageLayout, MANIFEST_FILE } from "./layout.ts";
import { listRefs, readRef, readStored } from "./store.ts";

/** What sandboxes boot from. */
export interface InUse {
  /** of images */
  readonly digests: ReadonlySet<string>;
  /** of kernels and initramfs archives, absolute */
  readonly paths: ReadonlySet<string>;
}

/** Something in the cache that no sandbox uses. */
export interface UnusedFile {
  /**
   * `source`: a kernel's source package, kept for the next build; `download`: a layer or manifest of a registry, or the beginning of one, kept for the next pull; `layer`: one that
   * was made here; `cache`: what a cache mount of Dockerfiles holds
   */
  readonly kind: "image" | "kernel" | "initramfs" | "source" | "download" | "layer" | "cache";
  /** as a person knows it: an image's names with their architectures, a kernel's name, a cache's id, else a file's */
  readonly name: string;
  readonly path: string;
  readonly sizeBytes: number;
  /** when it was made, or a pull used it last, ms since the epoch */
  readonly usedAt: number;
  /** paths of images that have it, and are not used either: it goes with the last of them */
  readonly neededBy?: readonly string[] | undefined;
}

/** Which of what is not used is to be removed. */
export interface PruneLimits {
  /** only what is older, in ms */
  readonly olderThanMs?: number | undefined;
  /** of what is not used so many bytes may stay, the newest of it */
  readonly keepBytes?: number | undefined;
}

/** The oldest of these, as far as the limits say that they go; what an image has goes only if that does. Pure. */
export function prunable<
  F extends Pick<UnusedFile, "sizeBytes" | "usedAt" | "neededBy"> & { readonly path?: string },
>(files: readonly F[], { olderThanMs = 0, keepBytes = 0 }: PruneLimits, now: number): F[] {
  let left = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const gone = new Set<string | undefined>();
  const oldest = [...files].sort((a, b) => a.usedAt - b.usedAt);
  const isNeeded = ({ neededBy = [] }: F): boolean => neededBy.length > 0;
  return [...oldest.filter((file) => !isNeeded(file)), ...oldest.filter(isNeeded)].filter(
    ({ sizeBytes, usedAt, neededBy = [], path }) => {
      const goes =
        now - usedAt >= olderThanMs &&
        (left > keepBytes || keepBytes === 0) &&
        neededBy.every((image) => gone.has(image));
      if (goes) {
        left -= sizeBytes;
        gone.add(path);
      }
      return goes;
    },
  );
}

// Another program has the name smolvm, too, and may keep files in directories of the same names: ours are known by theirs.
const SOURCE = /^[0-9a-f]{64}\.deb$/;
/** An unpacked kernel, or an initramfs archive. */
const KEPT = /^[0-9a-f]{64}(\.cpio)?$/;

/** An image of ours has its manifest from the moment in which it has that name. */
async function isImage(path: string): Promise<boolean> {
  return (await lstat(join(path, MANIFEST_FILE)).catch(() => undefined))?.isFile() === true;
}

/**
 * Everything in the cache that no sandbox uses: images (also those that no name stands for any more), kernels but the
 * chosen ones (`image kernel use`), initramfs archives, kernel source packages, downloads. Nothing is removed.
 */
export async function findUnused(dirs: ImageDirs, inUse: InUse): Promise<UnusedFile[]> {
  const layout = imageLayout(dirs);
  const kernels = kernelLayout(dirs);
  const found: Omit<UnusedFile, "sizeBytes" | "usedAt">[] = [];
  const names = await imageNames(dirs);
  for (const digest of await entries(layout.images)) {
    if (inUse.digests.has(digest) || !(await isImage(layout.image(digest)))) continue;
    const name = names.get(digest)?.join(", ") ?? `${digest.slice(0, 12)} (without a name)`;
    found.push({ kind: "image", name, path: layout.image(digest) });
  }
  // What a build is working with is not looked at: it may be about to be used.
  if (!(await isLocked(kernels.buildLock))) {
    for (const kernel of await listKernels(dirs)) {
      if (kernel.used || inUse.paths.has(kernel.path)) continue;
      found.push({ kind: "kernel", name: kernel.name, path: kernels.kernel(kernel.name) });
    }
    for (const name of await entries(kernels.sources)) {
      if (!SOURCE.test(name)) continue;
      found.push({ kind: "source", name, path: join(kernels.sources, name) });
    }
  }
  for (const [kind, directory] of [
    ["kernel", layout.extractedKernels],
    ["initramfs", layout.initrds],
  ] as const) {
    for (const name of await entries(directory)) {
      const path = join(directory, name);
      if (KEPT.test(name) && !inUse.paths.has(path)) found.push({ kind, name, path });
    }
  }
  const unused = new Set(found.flatMap(({ kind, path }) => (kind === "image" ? path : [])));
  const own = await ownImages(dirs);
  for (const { kind, name, path } of await listDownloads(dirs)) {
    // One that is being downloaded is about to be used.
    if (await isLocked(`${path.replace(/\.partial$/, "")}.lock`)) continue;
    const neededBy = [...(own.get(name) ?? [])].map((digest) => layout.image(digest));
    if (!neededBy.every((image) => unused.has(image))) continue;
    const shown = kind === "cache" ? name : name.slice(0, 12);
    found.push({ kind, name: shown, path, ...(neededBy.length > 0 ? { neededBy } : {}) });
  }
  return Promise.all(
    found.map(async (file) => ({
      ...file,
      sizeBytes: await sizeOf(file.path),
      usedAt: (await lstat(file.path)).mtimeMs,
    })),
  );
}

/** Notes of what is gone: of layers that steps of builds and images of ours have become, and of caches. */
async function removeStaleNotes(dirs: ImageDirs): Promise<void> {
  const { blob, buildCaches, buildCache } = imageLayout(dirs);
  for await (const { path, digest } of layerNotes(dirs))
    if (digest !== undefined && !(await isThere(blob(digest)))) await rm(path, { force: true });
  for (const name of await entries(buildCaches)) {
    const key = /^([0-9a-f]{64})\.json$/.exec(name)?.[1];
    if (key !== undefined && !(await isThere(buildCache(key))))
      await rm(join(buildCaches, name), { force: true });
  }
}

async function isThere(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => undefined)) !== undefined;
}

/**
 * Removes what {@link findUnused} finds. A sandbox that is created meanwhile either keeps what it boots from, or is told
 * that it is gone: each thing is first moved aside, then the sandboxes are asked again.
 * @param inUse asked before and after each move
 * @param which of them; default all
 * @param onWait told once if an image is being built or imported, whose end is waited for
 * @throws SmolVMError TIMEOUT, ABORTED
 */
export async function removeUnused(
  dirs: ImageDirs,
  inUse: () => Promise<InUse>,
  {
    deadline,
    onWait,
    which = (files) => files,
  }: {
    deadline: Deadline;
    onWait?: (pid: number) => void;
    which?: (files: readonly UnusedFile[]) => readonly UnusedFile[];
  },
): Promise<UnusedFile[]> {
  const layout = imageLayout(dirs);
  const removed: UnusedFile[] = [];
  const release = await acquireLock(layout.buildLock, deadline, (holder) => onWait?.(holder.pid));
  try {
    // Images come first: what they have stays with one that is in use by now.
    for (const file of which(await findUnused(dirs, await inUse()))) {
      deadline.check();
      if ((await Promise.all((file.neededBy ?? []).map(isThere))).includes(true)) continue;
      const aside = await putAside(dirs, file.path, async () => isUsed(dirs, file, await inUse()));
      if (aside === undefined) continue;
      await removeNames(dirs, file);
      await rm(aside, { recursive: true, force: true });
      removed.push(file);
    }
    await removeStaleNotes(dirs);
  } finally {
    await release();
  }
  return removed;
}

/**
 * Removes an image that was built here, and that no name stands for any more, unless something uses it: another one has its name.
 * @param inUse asked before and after it is moved aside, as by {@link removeUnused}
 * @returns whether it is gone
 * @throws SmolVMError TIMEOUT, ABORTED
 */
export async function removeReplaced(
  dirs: ImageDirs,
  digest: string,
  inUse: () => Promise<Pick<InUse, "digests">>,
  deadline: Deadline,
): Promise<boolean> {
  const layout = imageLayout(dirs);
  const release = await acquireLock(layout.buildLock, deadline, () => {});
  try {
    const stored = await readStored({ cacheDir: dirs.cacheDir }, digest);
    if (stored?.image.origin?.made !== "build" || (await imageNames(dirs)).has(digest)) return false;
    const hasUsers = async (): Promise<boolean> => (await inUse()).digests.has(digest);
    if (await hasUsers()) return false;
    const aside = await putAside(dirs, layout.image(digest), hasUsers);
    if (aside === undefined) return false;
    await rm(aside, { recursive: true, force: true });
    return true;
  } finally {
    await release();
  }
}

/**
 * Moves something to where it is rubbish, whatever becomes of this process.
 * @returns where it is now; undefined: it is used after all, and where it was
 */
async function putAside(
  dirs: ImageDirs,
  path: string,
  isUsed: () => Promise<boolean>,
): Promise<string | undefined> {
  const { work } = imageLayout(dirs);
  await mkdir(work, { recursive: true, mode: 0o700 });
  const aside = join(work, randomBytes(8).toString("hex"));
  await rename(path, aside);
  if (!(await isUsed())) return aside;
  await rename(aside, path);
  return undefined;
}

function isUsed(dirs: ImageDirs, { kind, path }: UnusedFile, { digests, paths }: InUse): boolean {
  if (kind === "image") return [...digests].some((digest) => imageLayout(dirs).image(digest) === path);
  return [...paths].some((used) => used === path || dirname(used) === path);
}

/** Names of an image that is gone. */
async function removeNames(dirs: ImageDirs, { kind, path }: UnusedFile): Promise<void> {
  if (kind !== "image") return;
  const layout = imageLayout(dirs);
  for (const { name, arch } of await listRefs(dirs)) {
    const digest = await readRef(layout.ref(name, arch)).catch(() => undefined);
    if (digest !== undefined && layout.image(digest) === path)
      await rm(layout.ref(name, arch), { force: true });
  }
}

/** The names of each image, by its digest. A damaged reference names nothing. */
async function imageNames(dirs: ImageDirs): Promise<Map<string, string[]>> {
  const names = new Map<string, string[]>();
  for (const { name, arch } of await listRefs(dirs)) {
    const digest = await readRef(imageLayout(dirs).ref(name, arch)).catch(() => undefined);
    if (digest !== undefined) names.set(digest, [...(names.get(digest) ?? []), `${name} for ${arch}`]);
  }
  return names;
}

/** What a file, or all files of a directory, take. */
async function sizeOf(path: string): Promise<number> {
  const stats = await lstat(path);
  if (!stats.isDirectory()) return stats.size;
  let sum = 0;
  for (const name of await entries(path)) sum += await sizeOf(join(path, name));
  return sum;
}

async function entries(directory: string): Promise<string[]> {
  return (await readdir(directory).catch(() => [])).sort();
}
