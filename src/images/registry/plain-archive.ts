import { randomBytes } from "node:crypto";
import { createWriteStream } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { SmolVMError } from "../../errors.ts";
import type { Deadline } from "../../util/deadline.ts";
import { rm } from "../../util/files-go.ts";
import { orNoSpace } from "../../util/no-space.ts";
import { PACKING_HEAD_BYTES, packingOf, readPacked } from "../formats/packed.ts";
import { readHead } from "../formats/read-head.ts";

/** Largest archive that is unpacked; what an image may unpack to is as large. */
const MAX_BYTES = 256 * 2 ** 30;

/**
 * An archive as one that can be read from any place on: itself, or if it is packed (`docker save IMAGE | gzip`) a temporary file.
 * @param directory where that goes; what a killed process leaves there is told by its name (store/unfinished.ts)
 * @throws SmolVMError FILE_FAILED for what is damaged, NO_SPACE, TIMEOUT, ABORTED; what the file system says
 */
export async function plainArchive(
  file: string,
  directory: string,
  deadline: Deadline,
): Promise<{ readonly path: string; readonly isTemporary: boolean }> {
  const packing = packingOf(await readHead(file, PACKING_HEAD_BYTES));
  if (packing === undefined) return { path: file, isTemporary: false };
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const path = join(directory, `archive.${process.pid}.${randomBytes(4).toString("hex")}.tmp`);
  let bytes = 0;
  try {
    await pipeline(
      readPacked(file, packing, { signal: deadline.signal }),
      async function* (chunks: AsyncIterable<Buffer>) {
        for await (const chunk of chunks) {
          deadline.check();
          bytes += chunk.length;
          if (bytes > MAX_BYTES)
            throw new SmolVMError("IMAGE_INVALID", `'${file}' unpacks to more than ${MAX_BYTES} bytes`);
          yield chunk;
        }
      },
      createWriteStream(path, { flags: "wx", mode: 0o600 }),
    );
  } catch (error) {
    await rm(path, { force: true });
    if (deadline.expired) throw deadline.error();
    throw orNoSpace(error, `no space left to unpack '${file}'`, directory);
  }
  return { path, isTemporary: true };
}
