import { open } from "node:fs/promises";
import { SmolVMError } from "../../errors.ts";
import { nativeProgram } from "../../host/package.ts";
import { runProgram } from "../../host/process/run.ts";
import type { Deadline } from "../../util/deadline.ts";
import { type SparseExtent, writeAndroidSparse } from "../formats/android-sparse.ts";

const BLOCK_BYTES = 4096;
/** A line for each of its extents: memory of some GiB that is all in pieces has half a million of them. */
const MAX_LIST_BYTES = 16 << 20;
/** What is kept of a disk at most: it is held in memory. */
const MAX_CONTENT_BYTES = 256 * 2 ** 20;

/**
 * A sparse disk as a seed that gives the same disk again (seed.ts): what it holds, without its holes.
 * @throws SmolVMError DEPENDENCY_MISSING, HOST_FAILED (it holds too much), TIMEOUT, ABORTED
 */
export async function compactDisk(path: string, deadline: Deadline): Promise<Buffer> {
  const file = await open(path, "r");
  try {
    const extents: SparseExtent[] = [];
    let content = 0;
    for (const { offset, length } of await dataExtents(path, deadline)) {
      content += length;
      if (content > MAX_CONTENT_BYTES)
        throw new SmolVMError("HOST_FAILED", `the disk '${path}' holds too much to be kept`);
      const data = new Uint8Array(length);
      const { bytesRead } = await file.read(data, 0, length, offset);
      if (bytesRead !== length) throw new SmolVMError("HOST_FAILED", `'${path}' is shorter than it was`);
      extents.push({ offset, data });
    }
    return Buffer.from(writeAndroidSparse((await file.stat()).size, extents, BLOCK_BYTES));
  } finally {
    await file.close();
  }
}

/** The parts of a file that hold data, in order. @throws SmolVMError DEPENDENCY_MISSING, HOST_FAILED */
export async function dataExtents(
  path: string,
  deadline: Deadline,
): Promise<{ offset: number; length: number }[]> {
  const monitor = nativeProgram("monitor");
  if (monitor === undefined) {
    throw new SmolVMError("DEPENDENCY_MISSING", "the native monitor program is not built", {
      hint: "Run scripts/build-native.sh",
    });
  }
  const { stdout } = await runProgram([monitor, "extents", path], {
    deadline,
    maxOutputBytes: MAX_LIST_BYTES,
  });
  return stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const [offset, length] = line.split(" ").map(Number);
      return { offset: offset!, length: length! };
    });
}
