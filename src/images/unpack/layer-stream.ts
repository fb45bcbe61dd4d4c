import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { Readable } from "node:stream";
import * as zlib from "node:zlib";
import { isSmolVMError } from "../../errors.ts";
import type { Deadline } from "../../util/deadline.ts";
import { TarReader, type TarStep } from "../../util/tar/reader.ts";
import { readHead } from "../formats/read-head.ts";
import { ZstdFrames, type ZstdPiece } from "../formats/zstd-frames.ts";
import { invalid } from "../oci/manifest.ts";

/** Largest window of zstd that is allocated for: what `zstd -dc` takes without being asked, 128 MiB. */
const ZSTD_WINDOW_LOG_MAX = 27;
const CHUNK_BYTES = 256 * 1024;
/** A layer may be of many small frames, each of which gets a buffer. */
const ZSTD_CHUNK_BYTES = 64 * 1024;

/** A layer's file, packed as it came, or its tar. */
export interface LayerFile {
  readonly path: string;
  /** of its tar, "sha256:..."; checked if it is given */
  readonly diffId?: string | undefined;
  /** it is the tar itself, whatever its first bytes look like; default: they say it */
  readonly plain?: boolean | undefined;
}

export interface ReadLayerOptions {
  /** of the image, for errors */
  readonly image: string;
  readonly deadline: Deadline;
  /** most bytes of tar */
  readonly maxBytes: number;
  /** told of each piece, in bytes of tar */
  readonly onBytes?: (count: number) => void;
  /** gets each piece of the tar, before what is in it is given out */
  readonly keep?: ((tar: Uint8Array) => Promise<void>) | undefined;
}

/**
 * Goes through a layer's tar, unpacked as it comes, in constant memory.
 * @throws SmolVMError IMAGE_INVALID, NOT_SUPPORTED, TIMEOUT, ABORTED
 */
export async function* readLayer(
  layer: LayerFile,
  options: ReadLayerOptions,
): AsyncGenerator<TarStep, void, undefined> {
  const { image, deadline } = options;
  const hash = layer.diffId === undefined ? undefined : createHash("sha256");
  const tar = new TarReader({ sparse: true });
  let bytes = 0;
  try {
    for await (const chunk of await unpacked(layer, deadline)) {
      deadline.check();
      hash?.update(chunk);
      bytes += chunk.length;
      if (bytes > options.maxBytes)
        throw invalid(image, `a layer of it is larger than ${options.maxBytes} bytes unpacked`);
      options.onBytes?.(chunk.length);
      await options.keep?.(chunk);
      if (!tar.over) yield* tar.push(chunk);
      giveBack(chunk);
    }
    // A layer in which nothing is has no bytes for some tools.
    if (bytes > 0) tar.finish();
  } catch (error) {
    throw deadline.expired ? deadline.error() : asInvalid(error, image);
  }
  checkDiffId(hash, layer.diffId, image);
}

/**
 * Frees a chunk's memory at once: the collector would let a hundred of them lie first. A decoder goes on in a buffer of which it has given out only a part, and small
 * ones may be parts of Node's pool.
 */
function giveBack({ buffer, byteOffset, length }: Buffer): void {
  const isWhole = buffer.byteLength >= CHUNK_BYTES && byteOffset + length === buffer.byteLength;
  if (isWhole && buffer instanceof ArrayBuffer) buffer.transfer(0);
}

function checkDiffId(hash: Hash | undefined, diffId: string | undefined, image: string): void {
  const digest = hash === undefined ? undefined : `sha256:${hash.digest("hex")}`;
  if (digest !== diffId)
    throw invalid(image, `a layer of it is not the one that its config names (${diffId?.slice(0, 19)}...)`);
}

/** The file as it is, or what is packed in it: gzip and zstd are told by their first bytes, because media types lie. */
async function unpacked(
  { path, plain = false }: LayerFile,
  deadline: Deadline,
): Promise<AsyncIterable<Buffer>> {
  const head = plain ? "" : Buffer.from(await readHead(path, 4)).toString("hex");
  const file = createReadStream(path, { highWaterMark: CHUNK_BYTES, signal: deadline.signal });
  if (head.startsWith("1f8b")) return through(file, zlib.createGunzip({ chunkSize: CHUNK_BYTES }));
  // Skippable frames come first in some.
  return head === "28b52ffd" || /^5.2a4d18$/.test(head) ? unzstd(file) : (file as AsyncIterable<Buffer>);
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
  try {
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
  } finally {
    file.destroy();
  }
}

function asInvalid(error: unknown, image: string): unknown {
  if (isSmolVMError(error))
    return isSmolVMError(error, "FILE_FAILED") ? invalid(image, error.message) : error;
  const { code = "", message = "" } = (error ?? {}) as { code?: string; message?: string };
  // Node's names for what zlib and zstd say of bytes that are none of theirs
  if (/^(?:Z_|ZSTD_|ERR_)/.test(code)) return invalid(image, `a layer of it cannot be unpacked (${message})`);
  return error;
}
