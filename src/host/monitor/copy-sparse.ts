import { constants } from "node:fs";
import { open } from "node:fs/promises";
import type { Deadline } from "../../util/deadline.ts";
import { rm } from "../../util/files-go.ts";

/** What is read and written at a time, in bytes. */
const PIECE_BYTES = 1024 * 1024;
/** Of these what is zeros alone is not written, in bytes: a file system's block, or several. */
const BLOCK_BYTES = 64 * 1024;
const ZEROS = Buffer.alloc(BLOCK_BYTES);

/**
 * Copies a file by Node alone, leaving out what is zeros, so that the copy is sparse where the file system makes it so: for hosts that have no native
 * program for it.
 * @param to must not exist; nothing is left there on failure
 * @throws the system's error; SmolVMError TIMEOUT, ABORTED
 */
export async function copyWithoutZeros(from: string, to: string, deadline: Deadline): Promise<void> {
  const source = await open(from, constants.O_RDONLY);
  try {
    const target = await open(to, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
    try {
      const { size } = await source.stat();
      await target.truncate(size);
      const piece = Buffer.allocUnsafeSlow(PIECE_BYTES);
      for (let at = 0; at < size; ) {
        deadline.check();
        const { bytesRead } = await source.read(piece, 0, PIECE_BYTES, at);
        if (bytesRead === 0) break; // it has become shorter
        for (let block = 0; block < bytesRead; block += BLOCK_BYTES) {
          const part = piece.subarray(block, Math.min(block + BLOCK_BYTES, bytesRead));
          if (ZEROS.compare(part, 0, part.length, 0, part.length) === 0) continue;
          for (let rest = part, place = at + block; rest.length > 0; ) {
            const { bytesWritten } = await target.write(rest, 0, rest.length, place);
            rest = rest.subarray(bytesWritten);
            place += bytesWritten;
          }
        }
        at += bytesRead;
      }
    } catch (error) {
      await target.close();
      await rm(to, { force: true }).catch(() => {}); // the first failure is the one to tell
      throw error;
    }
    await target.close();
  } finally {
    await source.close();
  }
}
