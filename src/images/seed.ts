import { type FileHandle, open, readFile, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { SmolVMError } from "../errors.ts";
import type { Deadline } from "../util/deadline.ts";
import {
  parseAndroidSparse,
  type SparseImage,
  type SparsePiece,
  writeAndroidSparse,
} from "./android-sparse.ts";
import { runTool } from "./tools.ts";

/** Smallest disk that can be made: the size of the seed's file system. */
export const SEED_BYTES: number = 64 * 1024 * 1024;
/** Largest disk that the seed's file system can be grown to online (its reserved group descriptors end there). */
export const SEED_MAX_BYTES: number = 2 ** 40;
/** A seed is some hundred KiB: more is not one of ours. */
const SEED_FILE_MAX_BYTES = 64 * 1024 * 1024;
const BLOCK_BYTES = 4096;
/** Fixed, so that the same tools make the same bytes; nothing looks disks up by them. */
const SEED_UUID = "736d6f6c-766d-4000-8000-000000000001";
const SEED_HASH = "736d6f6c-766d-4000-8000-000000000002";

/**
 * Writes a sandbox's writable disk: the seed's file system at the start of a sparse file of `sizeBytes`. Needs no tools,
 * takes milliseconds whatever the size; the guest grows the file system to the disk when it mounts it.
 * @param target must not exist; nothing is left there on failure
 * @throws SmolVMError IMAGE_INVALID (damaged seed), CONFIG_INVALID (size), FILE_EXISTS, NO_SPACE, HOST_FAILED
 */
export async function writeDiskFromSeed(seedPath: string, target: string, sizeBytes: number): Promise<void> {
  const seed = parseAndroidSparse(await readSeed(seedPath));
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes < seed.sizeBytes) {
    const minMib = Math.ceil(seed.sizeBytes / 2 ** 20);
    throw new SmolVMError(
      "CONFIG_INVALID",
      `a disk of ${sizeBytes} bytes is too small: at least ${minMib} MiB`,
      {
        hint: `Set diskSizeMib to ${minMib} or more.`,
        details: { sizeBytes, minBytes: seed.sizeBytes },
      },
    );
  }
  if (await exists(target)) {
    throw new SmolVMError("FILE_EXISTS", `the disk '${target}' exists`, { details: { path: target } });
  }
  const partial = `${target}.partial`;
  try {
    const file = await open(partial, "w", 0o600);
    try {
      await writeSparse(file, seed, sizeBytes);
    } finally {
      await file.close();
    }
    await rename(partial, target);
  } catch (error) {
    await rm(partial, { force: true });
    throw diskError(error, target, sizeBytes);
  }
}

/**
 * Makes the seed with mke2fs: an empty ext4 with a journal, room to grow to 1 TiB, and nothing left for the kernel
 * to initialise later.
 * @param workDir an empty directory for the image in between
 */
export async function makeSeed(workDir: string, target: string, deadline: Deadline): Promise<void> {
  const image = `${workDir}/seed.img`;
  const file = await open(image, "wx", 0o600);
  await file.truncate(SEED_BYTES);
  await file.close();
  try {
    await runTool("mke2fs", mke2fsArgs(image), { deadline, env: { E2FSPROGS_FAKE_TIME: "1" } });
    await writeFileSynced(target, writeAndroidSparse(await readFile(image), BLOCK_BYTES));
  } finally {
    await rm(image, { force: true });
  }
}

/** The arguments of mke2fs for the seed. Pure. */
export function mke2fsArgs(image: string): string[] {
  const extended = [
    `hash_seed=${SEED_HASH}`,
    `resize=${SEED_MAX_BYTES / BLOCK_BYTES}`,
    "lazy_itable_init=0",
    "lazy_journal_init=0",
    "root_owner=0:0",
    "nodiscard",
  ].join(",");
  return [
    ...["-q", "-F", "-t", "ext4", "-T", "default"],
    ...["-b", String(BLOCK_BYTES), "-I", "256", "-i", "16384"],
    ...["-O", "^64bit", "-m", "0", "-J", "size=16"],
    ...["-U", SEED_UUID, "-E", extended],
    image,
  ];
}

async function readSeed(path: string): Promise<Uint8Array> {
  try {
    const { size } = await stat(path);
    if (size <= SEED_FILE_MAX_BYTES) return await readFile(path);
  } catch (error) {
    throw new SmolVMError(
      "IMAGE_INVALID",
      `the disk seed '${path}' cannot be read: ${(error as Error).message}`,
      {
        hint: "Build the image again: smolvm image build --force",
        cause: error,
      },
    );
  }
  throw new SmolVMError("IMAGE_INVALID", `the disk seed '${path}' is too large to be one`, {
    hint: "Build the image again: smolvm image build --force",
  });
}

async function writeSparse(file: FileHandle, seed: SparseImage, sizeBytes: number): Promise<void> {
  await file.truncate(sizeBytes); // the rest stays a hole
  for (const piece of seed.pieces) await writePiece(file, piece);
}

async function writePiece(file: FileHandle, piece: SparsePiece): Promise<void> {
  if (piece.kind === "raw") {
    await writeAll(file, piece.data, piece.offset);
    return;
  }
  const chunk = Buffer.alloc(Math.min(piece.length, 2 ** 20), piece.pattern);
  for (let done = 0; done < piece.length; done += chunk.length) {
    await writeAll(file, chunk.subarray(0, Math.min(chunk.length, piece.length - done)), piece.offset + done);
  }
}

/** A write may be short (a full disk, a signal). */
async function writeAll(file: FileHandle, data: Uint8Array, offset: number): Promise<void> {
  for (let done = 0; done < data.length; ) {
    const { bytesWritten } = await file.write(data, done, data.length - done, offset + done);
    done += bytesWritten;
  }
}

async function writeFileSynced(path: string, data: Uint8Array): Promise<void> {
  const file = await open(path, "wx", 0o600);
  try {
    await file.writeFile(data);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

function diskError(error: unknown, target: string, sizeBytes: number): unknown {
  const errno = (error as NodeJS.ErrnoException).code;
  const details = { path: target, sizeBytes, errno };
  if (errno === "ENOSPC" || errno === "EDQUOT") {
    return new SmolVMError("NO_SPACE", `no space left for the disk '${target}'`, {
      hint: `Free some space: df -h '${dirname(target)}'`,
      details,
      cause: error,
    });
  }
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
