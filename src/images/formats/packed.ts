import { createReadStream } from "node:fs";
import { Readable } from "node:stream";
import * as zlib from "node:zlib";
import { ByteSource } from "./byte-source.ts";
import { bunzip2 } from "./bzip2.ts";
import { packedDamaged } from "./packed-error.ts";
import { unxz, XZ_MAGIC } from "./xz.ts";
import { ZstdFrames, type ZstdPiece } from "./zstd-frames.ts";

/** What a file may be packed with. */
export type Packing = "gzip" | "zstd" | "bzip2" | "xz";

/** How many of a file's first bytes tell its packing. */
export const PACKING_HEAD_BYTES = 10;

/** Largest window of zstd that is allocated for: what `zstd -dc` takes without being asked, 128 MiB. */
const ZSTD_WINDOW_LOG_MAX = 27;
const CHUNK_BYTES = 256 * 1024;
/** A stream may be of many small frames, each of which gets a buffer. */
const ZSTD_CHUNK_BYTES = 64 * 1024;
/** A block of bzip2's, or the end of what has none. */
const BZIP2 = /^425a683[1-9](?:314159265359|177245385090)/;

/** What a file that begins so is packed with; undefined: with nothing that is known. Skippable frames come first in some of zstd's. Pure. */
export function packingOf(head: Uint8Array): Packing | undefined {
  const hex = Buffer.from(head).toString("hex");
  if (hex.startsWith("1f8b")) return "gzip";
  if (/^(?:28b52ffd|5.2a4d18)/.test(hex)) return "zstd";
  if (hex.startsWith(XZ_MAGIC)) return "xz";
  return BZIP2.test(hex) ? "bzip2" : undefined;
}

/**
 * What is in a file, unpacked while it is read, in constant memory, all streams of it. Whoever stops reading closes it.
 * @param packing undefined: it is not packed
 * @throws SmolVMError FILE_FAILED for what is damaged or cut, NOT_SUPPORTED; what the file system says
 */
export async function* readPacked(
  path: string,
  packing: Packing | undefined,
  { signal }: { readonly signal?: AbortSignal | undefined } = {},
): AsyncGenerator<Buffer, void, undefined> {
  const file = createReadStream(path, {
    highWaterMark: CHUNK_BYTES,
    ...(signal === undefined ? {} : { signal }),
  });
  try {
    switch (packing) {
      case "gzip":
        return yield* through(file, zlib.createGunzip({ chunkSize: CHUNK_BYTES }));
      case "zstd":
        return yield* unzstd(file);
      case "xz":
        return yield* unxz(file);
      case "bzip2":
        return yield* bunzip2(new ByteSource(file, packing));
      default:
        return yield* file as AsyncIterable<Buffer>;
    }
  } catch (error) {
    const { code = "", message = "" } = (error ?? {}) as { code?: string; message?: string };
    // Node's names for what zlib and zstd say of bytes that are none of theirs
    if (packing === undefined || !/^(?:Z_|ZSTD_|ERR_)/.test(code)) throw error;
    throw packedDamaged(packing, message);
  } finally {
    file.destroy();
  }
}

/** What comes out of a decoder into which `from` goes. Whoever stops reading ends both. */
function through(from: Readable, decoder: NodeJS.ReadWriteStream & Readable): AsyncIterable<Buffer> {
  from.on("error", (error) => decoder.destroy(error));
  decoder.on("close", () => from.destroy());
  return from.pipe(decoder) as Readable as AsyncIterable<Buffer>;
}

/** All frames of a zstd stream, one after the other. */
async function* unzstd(file: Readable): AsyncGenerator<Buffer, void, undefined> {
  const frames = new ZstdFrames();
  const pieces = (async function* (): AsyncGenerator<ZstdPiece, void, undefined> {
    for await (const chunk of file) yield* frames.push(chunk as Buffer);
  })();
  for (let piece = await pieces.next(); !piece.done; piece = await pieces.next()) {
    const first = piece.value;
    const frame = async function* (): AsyncGenerator<Buffer, void, undefined> {
      for (let next: ZstdPiece | undefined = first; next !== undefined && "data" in next; ) {
        yield next.data;
        const more = await pieces.next();
        next = more.done ? undefined : more.value;
      }
    };
    const decoder = zlib.createZstdDecompress({
      chunkSize: ZSTD_CHUNK_BYTES,
      params: { [zlib.constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG_MAX },
    });
    yield* through(Readable.from(frame(), { objectMode: false }), decoder);
  }
  if (!frames.whole) throw packedDamaged("zstd", "it ends in the middle");
}
