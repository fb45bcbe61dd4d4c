import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import type { Readable } from "node:stream";
import * as zlib from "node:zlib";
import { isSmolVMError } from "../../errors.ts";
import type { Deadline } from "../../util/deadline.ts";
import { TarReader, type TarStep } from "../../util/tar/reader.ts";
import { readHead } from "../formats/read-head.ts";
import { invalid } from "../oci/manifest.ts";

/** Largest window of zstd that is allocated for: what `zstd -dc` takes without being asked, 128 MiB. */
const ZSTD_WINDOW_LOG_MAX = 27;
const CHUNK_BYTES = 256 * 1024;

/** A layer's file, packed as it came. */
export interface LayerFile {
  readonly path: string;
  /** of its tar, "sha256:..."; checked if it is given */
  readonly diffId?: string | undefined;
}

export interface ReadLayerOptions {
  /** of the image, for errors */
  readonly image: string;
  readonly deadline: Deadline;
  /** most bytes of tar */
  readonly maxBytes: number;
  /** told of each piece, in bytes of tar */
  readonly onBytes?: (count: number) => void;
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
  const tar = new TarReader();
  let bytes = 0;
  try {
    for await (const chunk of await unpacked(layer.path, deadline)) {
      deadline.check();
      hash?.update(chunk);
      bytes += chunk.length;
      if (bytes > options.maxBytes)
        throw invalid(image, `a layer of it is larger than ${options.maxBytes} bytes unpacked`);
      options.onBytes?.(chunk.length);
      if (!tar.over) yield* tar.push(chunk);
    }
    // A layer in which nothing is has no bytes for some tools.
    if (bytes > 0) tar.finish();
  } catch (error) {
    throw deadline.expired ? deadline.error() : asInvalid(error, image);
  }
  checkDiffId(hash, layer.diffId, image);
}

function checkDiffId(hash: Hash | undefined, diffId: string | undefined, image: string): void {
  const digest = hash === undefined ? undefined : `sha256:${hash.digest("hex")}`;
  if (digest !== diffId)
    throw invalid(image, `a layer of it is not the one that its config names (${diffId?.slice(0, 19)}...)`);
}

/** The file as it is, or what is packed in it: gzip and zstd are told by their first bytes, because media types lie. */
async function unpacked(path: string, deadline: Deadline): Promise<AsyncIterable<Buffer>> {
  const head = await readHead(path, 4);
  const file = createReadStream(path, { highWaterMark: CHUNK_BYTES, signal: deadline.signal });
  const decoder = decoderFor(head);
  if (decoder === undefined) return file as AsyncIterable<Buffer>;
  file.on("error", (error) => decoder.destroy(error));
  // Whoever stops reading ends the file, too.
  decoder.on("close", () => file.destroy());
  return file.pipe(decoder) as Readable as AsyncIterable<Buffer>;
}

function decoderFor(head: Uint8Array): (NodeJS.ReadWriteStream & Readable) | undefined {
  if (head[0] === 0x1f && head[1] === 0x8b) return zlib.createGunzip({ chunkSize: CHUNK_BYTES });
  if (Buffer.from(head).toString("hex") !== "28b52ffd") return undefined;
  return zlib.createZstdDecompress({
    chunkSize: CHUNK_BYTES,
    params: { [zlib.constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG_MAX },
  });
}

function asInvalid(error: unknown, image: string): unknown {
  if (isSmolVMError(error))
    return isSmolVMError(error, "FILE_FAILED") ? invalid(image, error.message) : error;
  const { code = "", message = "" } = (error ?? {}) as { code?: string; message?: string };
  // Node's names for what zlib and zstd say of bytes that are none of theirs
  if (/^(?:Z_|ZSTD_|ERR_)/.test(code)) return invalid(image, `a layer of it cannot be unpacked (${message})`);
  return error;
}
