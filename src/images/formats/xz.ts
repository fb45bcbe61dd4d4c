import { Readable } from "node:stream";
import type { ReadableStream } from "node:stream/web";
import { SmolVMError } from "../../errors.ts";
import { packedDamaged } from "./packed-error.ts";

/** How a stream begins (xz-file-format.txt, 2.1.1.1), in hex. */
export const XZ_MAGIC = "fd377a585a00";

/** What its errors end with: the numbers of `enum xz_ret` of XZ Embedded (xz.h), which it is made of. */
const UNSUPPORTED: Readonly<Record<string, string>> = {
  "3": "takes more memory than there is",
  "4": "has a dictionary of more than 64 MiB",
  "6": "went through a filter for programs, or has a check, that is not known",
};

/**
 * What streams of xz hold, one after the other. Whoever stops reading ends it.
 * @throws SmolVMError FILE_FAILED for what is damaged or cut, NOT_SUPPORTED
 */
export async function* unxz(file: Readable): AsyncGenerator<Buffer, void, undefined> {
  const { XzReadableStream } = (await import("xz-decompress")).default; // few need it
  const stream = new XzReadableStream(Readable.toWeb(file) as never) as ReadableStream<Uint8Array>;
  try {
    for await (const piece of stream) yield Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength);
  } catch (error) {
    const code = /error code (\d+)/.exec(error instanceof Error ? error.message : "")?.[1];
    if (code === undefined) throw error;
    const why = UNSUPPORTED[code];
    if (why === undefined)
      throw packedDamaged("xz", code === "8" ? "it ends in the middle" : "its content is another");
    throw new SmolVMError("NOT_SUPPORTED", `what is packed with xz ${why}`, {
      hint: "Pack it anew: xz -d < OLD | xz > NEW",
    });
  }
}
