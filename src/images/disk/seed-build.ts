import { mkdir, open } from "node:fs/promises";
import { join } from "node:path";
import { zstdCompressSync } from "node:zlib";
import { SmolVMError } from "../../errors.ts";
import type { Deadline } from "../../util/deadline.ts";
import { rm } from "../../util/files-go.ts";
import { runTool } from "../debian/tools.ts";
import { type SparseExtent, writeAndroidSparse } from "../formats/android-sparse.ts";
import { SEED_MIN_MIB, seedFileName } from "./seed.ts";

/**
 * The sizes of the file systems that disks start from, in MiB: powers of two from 64 MiB to 1 TiB. Growing a mounted ext4
 * costs 2 to 4 ms for each 128 MiB under emulation (0.4 s from 64 MiB to 16 GiB), so a disk starts from the largest that
 * fits and never has to be more than doubled. An empty ext4 is small whatever its size.
 */
export const SEED_SIZES_MIB: readonly number[] = Array.from({ length: 15 }, (_, i) => SEED_MIN_MIB * 2 ** i);

const BLOCK_BYTES = 4096;
const MIB = 2 ** 20;
/** Fixed, so that the same tools make the same bytes; nothing looks disks up by them. */
const UUID = "736d6f6c-766d-4000-8000-000000000001";
const HASH_SEED = "736d6f6c-766d-4000-8000-000000000002";

/**
 * Makes the seeds: empty ext4 file systems in all sizes.
 * @param workDir for the images in between (sparse)
 * @param target directory for the seeds (made)
 * @returns the names of the files
 * @throws SmolVMError IMAGE_BUILD_FAILED, DEPENDENCY_MISSING
 */
export async function makeSeeds(workDir: string, target: string, deadline: Deadline): Promise<string[]> {
  await mkdir(target, { recursive: true });
  const names: string[] = [];
  for (const sizeMib of SEED_SIZES_MIB) {
    const name = seedFileName(sizeMib);
    await makeSeed(join(workDir, "seed.img"), join(target, name), sizeMib, deadline);
    names.push(name);
  }
  return names;
}

async function makeSeed(image: string, target: string, sizeMib: number, deadline: Deadline): Promise<void> {
  try {
    const file = await open(image, "wx", 0o600);
    await file.truncate(sizeMib * MIB);
    await file.close();
    // The time would be the only thing that differs between two builds.
    await runTool("mke2fs", mke2fsArgs(image, sizeMib), { deadline, env: { E2FSPROGS_FAKE_TIME: "1" } });
    const sparse = writeAndroidSparse(sizeMib * MIB, await readExtents(image, deadline), BLOCK_BYTES);
    const out = await open(target, "wx", 0o600);
    await out.writeFile(zstdCompressSync(sparse)).finally(() => out.close());
  } finally {
    await rm(image, { force: true });
  }
}

/**
 * The arguments of mke2fs for a seed: a journal, room to grow to the largest size, nothing left to initialise later; an inode for
 * each block, because trees of small files (node_modules, a store of pnpm's) else run out of inodes while there is space. That takes
 * a sixteenth of the disk's size and nothing of the host's, where unused inodes are a hole. Pure.
 */
export function mke2fsArgs(image: string, sizeMib: number): string[] {
  const largest = SEED_SIZES_MIB.at(-1)!;
  const extended = [
    `hash_seed=${HASH_SEED}`,
    "lazy_itable_init=0",
    "lazy_journal_init=0",
    "root_owner=0:0",
    // Group descriptors for 1 TiB, the largest disk: mke2fs's default reserves more, which every disk would have to write.
    ...(sizeMib < largest ? [`resize=${(largest * MIB) / BLOCK_BYTES}`] : []),
  ];
  return [
    ...["-q", "-F", "-t", "ext4", "-T", "default"],
    ...["-b", String(BLOCK_BYTES), "-I", "256", "-i", String(BLOCK_BYTES)],
    // Without checksums of all metadata, which take 40 % of the time to create a file in an emulated guest; those of the group
    // descriptors stay (uninit_bg), because with them a file system grows without writing its new inode tables.
    ...["-O", "^64bit,^metadata_csum,uninit_bg", "-m", "0", "-J", `size=${journalMib(sizeMib)}`],
    ...["-U", UUID, "-E", extended.join(",")],
    image,
  ];
}

/** What all seeds are made with: an image whose seeds are others is made again. */
export const SEEDS_KEY: string = mke2fsArgs("", SEED_MIN_MIB).join(" ");

/** A journal is space that the user does not get, and does not grow with the file system. Pure. */
function journalMib(sizeMib: number): number {
  if (sizeMib < 512) return 8;
  return sizeMib < 2048 ? 16 : 32;
}

/** The parts of a sparse file that hold data, as qemu-img finds them: Node cannot ask for holes. */
async function readExtents(image: string, deadline: Deadline): Promise<SparseExtent[]> {
  const { stdout } = await runTool("qemu-img", ["map", "--output=json", "-f", "raw", image], { deadline });
  const file = await open(image, "r");
  try {
    const extents: SparseExtent[] = [];
    for (const { start, length, data, zero } of JSON.parse(stdout) as QemuExtent[]) {
      if (!data || zero) continue;
      const bytes = new Uint8Array(length);
      const { bytesRead } = await file.read(bytes, 0, length, start);
      if (bytesRead !== length)
        throw new SmolVMError("IMAGE_BUILD_FAILED", `'${image}' is shorter than it was`);
      extents.push({ offset: start, data: bytes });
    }
    return extents;
  } finally {
    await file.close();
  }
}

/** An extent as `qemu-img map --output=json` prints it (docs of qemu-img). */
interface QemuExtent {
  readonly start: number;
  readonly length: number;
  readonly zero: boolean;
  readonly data: boolean;
}
