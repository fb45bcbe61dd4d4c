import { createHash, type Hash } from "node:crypto";
import { isSmolVMError } from "../../errors.ts";
import type { Deadline } from "../../util/deadline.ts";
import { TarReader, type TarStep } from "../../util/tar/reader.ts";
import { PACKING_HEAD_BYTES, packingOf, readPacked } from "../formats/packed.ts";
import { readHead } from "../formats/read-head.ts";
import { invalid } from "../oci/manifest.ts";

const CHUNK_BYTES = 256 * 1024;

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

/** The file as it is, or what is packed in it: gzip and zstd, which are told by their first bytes, because media types lie. */
async function unpacked(
  { path, plain = false }: LayerFile,
  { signal }: Deadline,
): Promise<AsyncIterable<Buffer>> {
  const packing = plain ? undefined : packingOf(await readHead(path, PACKING_HEAD_BYTES));
  return readPacked(path, packing === "gzip" || packing === "zstd" ? packing : undefined, { signal });
}

function asInvalid(error: unknown, image: string): unknown {
  return isSmolVMError(error, "FILE_FAILED")
    ? invalid(image, `a layer of it cannot be unpacked (${error.message})`)
    : error;
}
