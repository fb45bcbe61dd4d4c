import { open } from "node:fs/promises";
import type { Deadline } from "../../util/deadline.ts";
import { requireTools, runTool } from "../debian/tools.ts";

/**
 * Compressor and block size of bases. Under emulation the guest spends longer on decompressing than the host on reading:
 * lz4 costs 37 % more space than zstd, and takes 10 % off the first shell of a boot and 25 % off the first Python (measured
 * with the default image: 141 ms against 158, 645 against 861; uncompressed 109 and 591).
 */
const COMPRESSION = ["-c", "lz4", "-X", "hc", "-b", String(64 * 1024)];

/**
 * Packs a tar file as squashfs: owners, modes, times and the order of files are the tar's.
 * @throws SmolVMError DEPENDENCY_MISSING, IMAGE_BUILD_FAILED
 */
export async function tarToSquashfs(tarball: string, target: string, deadline: Deadline): Promise<void> {
  requireTools(["tar2sqfs"]);
  const file = await open(tarball, "r");
  try {
    await runTool("tar2sqfs", ["-q", "-f", "-s", ...COMPRESSION, target], {
      deadline,
      stdin: file.createReadStream({ highWaterMark: 1024 * 1024, autoClose: false }),
    });
  } finally {
    await file.close();
  }
}
