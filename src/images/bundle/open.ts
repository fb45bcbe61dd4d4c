import { constants } from "node:fs";
import { type FileHandle, lstat, open, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { createGunzip } from "node:zlib";
import { SmolVMError } from "../../errors.ts";
import { readTar } from "../formats/tar-read.ts";
import {
  ARCHIVE_PREFIX,
  BUNDLE_FILE,
  BUNDLE_JSON_MAX_BYTES,
  type BundleManifest,
  badBundle,
  parseBundleManifest,
} from "./bundle-manifest.ts";

const CHUNK_BYTES = 1024 * 1024;

/** A file of a bundle; what it holds is checked by who reads it. */
export interface BundleEntry {
  /** as in the manifest */
  readonly path: string;
  readonly sizeBytes: number;
  readonly data: AsyncIterable<Uint8Array>;
}

/** A bundle that was opened: its manifest is read and checked, its files are not. */
export interface OpenBundle {
  readonly manifest: BundleManifest;
  /** the files, in the order in which they come; to be read once */
  readonly entries: AsyncIterable<BundleEntry>;
  close(): Promise<void>;
}

/**
 * Opens a bundle: an archive, or the directory into which npm has unpacked one.
 * @throws SmolVMError FILE_NOT_FOUND, IMAGE_INVALID, HOST_FAILED
 */
export async function openBundle(path: string): Promise<OpenBundle> {
  const stats = await stat(path).catch((error: unknown) => {
    throw new SmolVMError("FILE_NOT_FOUND", `there is no bundle '${path}'`, { cause: error });
  });
  return stats.isDirectory() ? openDirectory(path) : openArchive(path);
}

async function openDirectory(dir: string): Promise<OpenBundle> {
  const path = join(dir, BUNDLE_FILE);
  const stats = await lstat(path).catch(() => undefined);
  if (!stats?.isFile()) throw badBundle(`'${dir}' holds no ${BUNDLE_FILE}`);
  if (stats.size > BUNDLE_JSON_MAX_BYTES) throw badBundle(`its ${BUNDLE_FILE} is too large`);
  const manifest = parseBundleManifest(await readFile(path, "utf8"));
  async function* entries(): AsyncGenerator<BundleEntry, void, undefined> {
    for (const file of manifest.files) {
      const flags = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0);
      const handle = await open(join(dir, file.path), flags).catch((error: unknown) => {
        throw badBundle(`'${file.path}' cannot be read: ${(error as Error).message}`);
      });
      try {
        const now = await handle.stat();
        if (!now.isFile()) throw badBundle(`'${file.path}' is not a regular file`);
        yield { path: file.path, sizeBytes: now.size, data: chunks(handle) };
      } finally {
        await handle.close();
      }
    }
  }
  return { manifest, entries: entries(), close: async () => {} };
}

async function* chunks(file: FileHandle): AsyncGenerator<Uint8Array, void, undefined> {
  for (;;) {
    const { buffer, bytesRead } = await file.read(new Uint8Array(CHUNK_BYTES), 0, CHUNK_BYTES);
    if (bytesRead === 0) return;
    yield buffer.subarray(0, bytesRead);
  }
}

async function openArchive(path: string): Promise<OpenBundle> {
  const file = await open(path, "r").catch((error: unknown) => {
    throw new SmolVMError("HOST_FAILED", `'${path}' cannot be read: ${(error as Error).message}`, {
      cause: error,
    });
  });
  const gunzip = createGunzip({ chunkSize: 256 * 1024 });
  const raw = file.createReadStream({ highWaterMark: CHUNK_BYTES });
  raw.on("error", (error) => gunzip.destroy(error));
  raw.pipe(gunzip);
  const close = async (): Promise<void> => {
    raw.destroy();
    gunzip.destroy();
    await file.close().catch(() => {}); // the stream may have closed it
  };
  const archive = files(explained(gunzip));
  try {
    // package.json is for npm; the manifest comes next, before anything that would be written down.
    for (const wanted of ["package.json", BUNDLE_FILE]) {
      const next = await archive.next();
      if (next.done || next.value.path !== wanted) throw badBundle(`its ${wanted} is not at its start`);
      const bytes = await readSmall(next.value);
      if (wanted === BUNDLE_FILE) {
        return { manifest: parseBundleManifest(bytes.toString("utf8")), entries: archive, close };
      }
    }
    throw badBundle(`it has no ${BUNDLE_FILE}`);
  } catch (error) {
    await close();
    throw error;
  }
}

/** The archive's files by their paths in the bundle. */
async function* files(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<BundleEntry, void, undefined> {
  for await (const file of readTar(chunks)) {
    if (!file.path.startsWith(ARCHIVE_PREFIX)) throw badBundle(`it holds '${file.path}'`);
    yield { ...file, path: file.path.slice(ARCHIVE_PREFIX.length) };
  }
}

/** zlib's errors, in the user's words. */
async function* explained(gunzip: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield* gunzip;
  } catch (error) {
    const { code = "", message } = error as NodeJS.ErrnoException;
    if (!/^Z_/.test(code)) throw error;
    throw badBundle(`it is not a whole gzip file (${message})`);
  }
}

async function readSmall({ path, sizeBytes, data }: BundleEntry): Promise<Buffer> {
  if (sizeBytes > BUNDLE_JSON_MAX_BYTES) throw badBundle(`its ${path} is too large`);
  const chunks: Uint8Array[] = [];
  for await (const chunk of data) chunks.push(chunk);
  return Buffer.concat(chunks);
}
