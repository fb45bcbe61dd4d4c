import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { rm } from "../../util/files-go.ts";
import { isLocked } from "./build-lock.ts";
import { type ImageDirs, imageLayout } from "./layout.ts";
import { listImages } from "./store.ts";

/** What was downloaded that recently may be what a pull of another process is about to unpack. */
const IN_USE_MS = 10 * 60_000;

/** A layer, config or manifest of a registry that is kept, or the beginning of one. */
const DOWNLOAD = /^[0-9a-f]{64}(\.partial)?$/;

/** One of the downloads that are kept. */
export interface Download {
  /** its file's name: the hex digits of its digest, with `.partial` while it is not whole */
  readonly name: string;
  readonly path: string;
  readonly sizeBytes: number;
  /** when a pull used it last, ms since the epoch */
  readonly usedAt: number;
}

/** All downloads that are kept, those first that were used the longest time ago. */
export async function listDownloads(dirs: ImageDirs): Promise<Download[]> {
  const { blobs } = imageLayout(dirs);
  const found: Download[] = [];
  for (const name of await readdir(blobs).catch(() => [])) {
    if (!DOWNLOAD.test(name)) continue;
    const path = join(blobs, name);
    const stats = await stat(path).catch(() => undefined); // another process may have removed it
    if (stats !== undefined) found.push({ name, path, sizeBytes: stats.size, usedAt: stats.mtimeMs });
  }
  return found.sort((a, b) => a.usedAt - b.usedAt || (a.name < b.name ? -1 : 1));
}

/**
 * Removes downloads, the longest unused first, until they take no more than `maxBytes`. What another pull may need at this moment stays, and what
 * images that were made on this machine have: nobody else has it.
 * @param done the hex digits of the digests of a pull that is over and needs them no longer
 */
export async function keepDownloadsWithin(
  dirs: ImageDirs,
  maxBytes: number,
  done: ReadonlySet<string>,
): Promise<void> {
  const downloads = await listDownloads(dirs);
  let total = downloads.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  if (total <= maxBytes) return;
  const own = await ownDigests(dirs);
  for (const { name, path, sizeBytes, usedAt } of downloads) {
    if (total <= maxBytes) return;
    if (own.has(name)) continue;
    if (!done.has(name) && Date.now() - usedAt < IN_USE_MS) continue;
    if (await isLocked(`${path.replace(/\.partial$/, "")}.lock`)) continue;
    await rm(path, { force: true });
    total -= sizeBytes;
  }
}

/** What images that were made here are of, as long as they are there: hex digits. */
export async function ownDigests({ cacheDir }: ImageDirs): Promise<Set<string>> {
  const own = new Set<string>();
  for (const { origin } of await listImages({ cacheDir })) {
    if (origin?.made === undefined) continue;
    for (const digest of [
      origin.manifest,
      origin.configDigest,
      ...origin.layers.map((layer) => layer.digest),
    ])
      own.add(digest.replace("sha256:", ""));
  }
  return own;
}
