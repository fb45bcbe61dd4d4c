import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { rm } from "../../util/files-go.ts";
import { isLocked } from "./build-lock.ts";
import { type ImageDirs, imageLayout } from "./layout.ts";
import { listImages } from "./store.ts";

/** What was downloaded that recently may be what a pull of another process is about to unpack. */
const IN_USE_MS = 10 * 60_000;

/** A layer, config or manifest of a registry that is kept, or the beginning of one. */
const DOWNLOAD = /^[0-9a-f]{64}(\.partial)?$/;
const CACHE = /^([0-9a-f]{64})\.tar$/;

/** Something that is kept to be used again. */
export interface Download {
  /** `download`: of a registry; `layer`: made here, by a step of a Dockerfile, of an image of ours or of a sandbox; `cache`: what a cache mount of Dockerfiles holds */
  readonly kind: "download" | "layer" | "cache";
  /** the hex digits of its digest, with `.partial` while it is not whole; of a cache its id, with the architecture */
  readonly name: string;
  readonly path: string;
  readonly sizeBytes: number;
  /** when a pull or build used it last, ms since the epoch */
  readonly usedAt: number;
}

/** All that is kept of downloads and builds, those first that were used the longest time ago. */
export async function listDownloads(dirs: ImageDirs): Promise<Download[]> {
  const { blobs, buildCaches, buildCacheNote } = imageLayout(dirs);
  const found: Download[] = [];
  const add = async (one: Pick<Download, "kind" | "name" | "path">): Promise<void> => {
    const stats = await stat(one.path).catch(() => undefined); // another process may have removed it
    if (stats !== undefined) found.push({ ...one, sizeBytes: stats.size, usedAt: stats.mtimeMs });
  };
  const made = await madeHere(dirs);
  for (const name of await readdir(blobs).catch(() => []))
    if (DOWNLOAD.test(name))
      await add({ kind: made.has(name) ? "layer" : "download", name, path: join(blobs, name) });
  for (const file of await readdir(buildCaches).catch(() => [])) {
    const key = CACHE.exec(file)?.[1];
    if (key === undefined) continue;
    const note = (await readJson(buildCacheNote(key))) as { id?: unknown; arch?: unknown } | undefined;
    const name = typeof note?.id === "string" ? `${note.id} for ${note.arch}` : key.slice(0, 12);
    await add({ kind: "cache", name, path: join(buildCaches, file) });
  }
  return found.sort((a, b) => a.usedAt - b.usedAt || (a.name < b.name ? -1 : 1));
}

/** What steps of builds, and images of ours, have become, and what images that were made here are of: hex digits. */
async function madeHere(dirs: ImageDirs): Promise<Set<string>> {
  const made = await ownDigests(dirs);
  for await (const { digest } of layerNotes(dirs)) if (digest !== undefined) made.add(digest);
  return made;
}

/** What notes say of layers that were made here: the hex digits of each, unless it is of a step that has made none. */
export async function* layerNotes(
  dirs: ImageDirs,
): AsyncGenerator<{ readonly path: string; readonly digest: string | undefined }, void, undefined> {
  const { ownLayers, buildSteps } = imageLayout(dirs);
  for (const directory of [ownLayers, buildSteps])
    for (const name of await readdir(directory).catch(() => [])) {
      const path = join(directory, name);
      const note = (await readJson(path)) as StepNote | undefined;
      const digest = (note?.layer ?? note)?.descriptor?.digest;
      yield { path, digest: digest?.replace("sha256:", "") };
    }
}

interface StepNote {
  readonly layer?: StepNote;
  readonly descriptor?: { readonly digest: string };
}

async function readJson(path: string): Promise<unknown> {
  return await readFile(path, "utf8").then(JSON.parse, () => undefined);
}

/**
 * Removes downloads, and what builds keep, the longest unused first, until they take no more than `maxBytes`. What another pull may need at this moment stays, and what
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
export async function ownDigests(dirs: ImageDirs): Promise<Set<string>> {
  return new Set((await ownImages(dirs)).keys());
}

/** Which images that were made here are of what: hex digits of what they are of, with the digests of the images. */
export async function ownImages({ cacheDir }: ImageDirs): Promise<Map<string, Set<string>>> {
  const own = new Map<string, Set<string>>();
  for (const { origin, digest: image } of await listImages({ cacheDir })) {
    if (origin?.made === undefined) continue;
    const layers = origin.layers.map((layer) => layer.digest);
    for (const digest of [origin.manifest, origin.configDigest, ...layers]) {
      const name = digest.replace("sha256:", "");
      own.set(name, (own.get(name) ?? new Set()).add(image));
    }
  }
  return own;
}
