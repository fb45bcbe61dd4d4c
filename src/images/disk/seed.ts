import {
  closeSync,
  existsSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  writeSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { zstdDecompressSync } from "node:zlib";
import { SmolVMError } from "../../errors.ts";
import { renameSync, rmSync } from "../../util/files-go.ts";
import { isNoSpace, orNoSpace } from "../../util/no-space.ts";
import {
  isAndroidSparse,
  parseAndroidSparse,
  type SparseImage,
  type SparsePiece,
} from "../formats/android-sparse.ts";

/** Smallest disk that can be made: the size of the smallest seed, in MiB. */
export const SEED_MIN_MIB = 64;
/** A seed is a few MiB at most: more is not one of ours. */
const SEED_MAX_BYTES = 64 * 1024 * 1024;
const MIB = 2 ** 20;

/** The name of the seed of that size in an image's directory of seeds: an Android sparse image, compressed with zstd. */
export function seedFileName(sizeMib: number): string {
  return `${sizeMib}.simg.zst`;
}

/**
 * Writes a sandbox's writable disk: the file system of the largest seed that fits, at the start of a sparse file of
 * `sizeBytes`. Needs no tools; the guest grows the file system to the disk. All at once: it is a third of a MiB for 2 GiB and
 * 11 MiB for 1 TiB, and going through Node's threads takes several times as long as writing it.
 * @param seedPath directory of seeds (an image's `seedPath`), or one Android sparse image
 * @param target must not exist; nothing is left there on failure
 * @throws SmolVMError IMAGE_INVALID (damaged seed), CONFIG_INVALID (size), FILE_EXISTS, NO_SPACE, HOST_FAILED
 */
export function writeDiskFromSeed(seedPath: string, target: string, sizeBytes: number): void {
  const seed = readSeed(seedPath, sizeBytes);
  if (existsSync(target)) {
    throw new SmolVMError("FILE_EXISTS", `the disk '${target}' exists`, { details: { path: target } });
  }
  const partial = `${target}.partial`;
  try {
    const file = openSync(partial, "w", 0o600);
    try {
      writeSparse(file, seed, sizeBytes);
    } finally {
      closeSync(file);
    }
    renameSync(partial, target);
  } catch (error) {
    rmSync(partial, { force: true });
    throw diskError(error, target, sizeBytes);
  }
}

/** The seed that a disk of `sizeBytes` starts from. */
function readSeed(seedPath: string, sizeBytes: number): SparseImage {
  let bytes: Uint8Array;
  try {
    const path = statSync(seedPath).isDirectory() ? chooseSeed(seedPath, sizeBytes) : seedPath;
    if (statSync(path).size > SEED_MAX_BYTES) throw new Error("it is too large to be one");
    bytes = readFileSync(path);
    if (!isAndroidSparse(bytes)) bytes = zstdDecompressSync(bytes, { maxOutputLength: SEED_MAX_BYTES });
  } catch (error) {
    if (error instanceof SmolVMError) throw error;
    throw new SmolVMError(
      "IMAGE_INVALID",
      `the disk seed '${seedPath}' cannot be read: ${(error as Error).message}`,
      {
        hint: "Build the image again: smolvm image build --force",
        cause: error,
      },
    );
  }
  const seed = parseAndroidSparse(bytes);
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes < seed.sizeBytes)
    throw tooSmall(sizeBytes, seed.sizeBytes / MIB);
  return seed;
}

/** A seed holds an empty file system: tables and a journal, which are almost all holes. */
const SEED_MAX_CONTENT_BYTES = 256 * MIB;

/**
 * Checks a seed that may come from anywhere: that it can be read, is of the size that its name says, and does not fill disks.
 * @throws SmolVMError IMAGE_INVALID
 */
export function checkSeed(path: string): void {
  const mib = Number(/^(\d+)\.simg\.zst$/.exec(basename(path))?.[1] ?? Number.NaN);
  const seed = readSeed(path, mib * MIB);
  const content = seed.pieces.reduce(
    (sum, piece) => sum + (piece.kind === "raw" ? piece.data.length : piece.length),
    0,
  );
  if (seed.sizeBytes === mib * MIB && content <= SEED_MAX_CONTENT_BYTES) return;
  throw new SmolVMError(
    "IMAGE_INVALID",
    `the disk seed '${basename(path)}' is not an empty disk of its size`,
  );
}

function chooseSeed(directory: string, sizeBytes: number): string {
  const sizes = readdirSync(directory).flatMap((name) => {
    const mib = Number(/^(\d+)\.simg\.zst$/.exec(name)?.[1] ?? Number.NaN);
    return Number.isSafeInteger(mib) ? [mib] : [];
  });
  const best = largestFitting(sizes, sizeBytes / MIB);
  if (best === undefined) throw tooSmall(sizeBytes, Math.min(...sizes, SEED_MIN_MIB));
  return join(directory, seedFileName(best));
}

/** The largest of some sizes that is not above a limit. Pure. */
export function largestFitting(sizes: readonly number[], limit: number): number | undefined {
  const fitting = sizes.filter((size) => size <= limit);
  return fitting.length === 0 ? undefined : Math.max(...fitting);
}

function tooSmall(sizeBytes: number, minMib: number): SmolVMError {
  return new SmolVMError(
    "CONFIG_INVALID",
    `a disk of ${sizeBytes} bytes is too small: at least ${minMib} MiB`,
    {
      hint: `Set diskSizeMib to ${minMib} or more.`,
      details: { sizeBytes, minMib },
    },
  );
}

function writeSparse(file: number, seed: SparseImage, sizeBytes: number): void {
  ftruncateSync(file, sizeBytes); // the rest stays a hole
  for (const piece of seed.pieces) writePiece(file, piece);
}

function writePiece(file: number, piece: SparsePiece): void {
  if (piece.kind === "raw") {
    writeAll(file, piece.data, piece.offset);
    return;
  }
  const chunk = Buffer.alloc(Math.min(piece.length, 2 ** 20), piece.pattern);
  for (let done = 0; done < piece.length; done += chunk.length) {
    writeAll(file, chunk.subarray(0, Math.min(chunk.length, piece.length - done)), piece.offset + done);
  }
}

/** A write may be short (a full disk, a signal). */
function writeAll(file: number, data: Uint8Array, offset: number): void {
  for (let done = 0; done < data.length; ) {
    done += writeSync(file, data, done, data.length - done, offset + done);
  }
}

function diskError(error: unknown, target: string, sizeBytes: number): unknown {
  const errno = (error as NodeJS.ErrnoException).code;
  const details = { path: target, sizeBytes, errno };
  if (isNoSpace(error))
    return orNoSpace(error, `no space left for the disk '${target}'`, dirname(target), { details });
  if (errno === "EFBIG") {
    return new SmolVMError(
      "CONFIG_INVALID",
      `the host's file system cannot hold a file of ${sizeBytes} bytes`,
      {
        hint: "Set a smaller diskSizeMib.",
        details,
        cause: error,
      },
    );
  }
  if (error instanceof SmolVMError) return error;
  return new SmolVMError(
    "HOST_FAILED",
    `the disk '${target}' cannot be written: ${(error as Error).message}`,
    {
      details,
      cause: error,
    },
  );
}
