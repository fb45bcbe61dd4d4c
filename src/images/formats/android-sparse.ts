import { SmolVMError } from "../../errors.ts";

/**
 * The Android sparse image format, which keeps a disk image without its holes
 * (android: platform/system/core, libsparse/sparse_format.h). Little-endian, pure.
 *
 *   header (28):  u32 magic 0xED26FF3A   u16 major 1   u16 minor 0   u16 header size 28   u16 chunk header size 12
 *                 u32 block size   u32 blocks of the image   u32 chunks   u32 checksum (0: none)
 *   chunk (12):   u16 type   u16 reserved   u32 blocks   u32 bytes of this chunk with its header; then its content
 *                 0xCAC1 RAW: the blocks   0xCAC2 FILL: u32, repeated   0xCAC3 DONT_CARE: nothing, a hole   0xCAC4 CRC32: u32
 */
const MAGIC = 0xed26ff3a;
const HEADER_BYTES = 28;
const CHUNK_HEADER_BYTES = 12;
const RAW = 0xcac1;
const FILL = 0xcac2;
const DONT_CARE = 0xcac3;
const CRC32 = 0xcac4;

/** Blocks of ext4, and of memory pages. */
const DEFAULT_BLOCK_BYTES = 4096;

/** Larger images than that are not disks of ours (the ext4 of 32-bit block numbers ends at 16 TiB). */
const IMAGE_MAX_BYTES = 16 * 2 ** 40;

/** A piece of the image to write; holes are not listed. */
export type SparsePiece =
  | { readonly kind: "raw"; readonly offset: number; readonly data: Uint8Array }
  | { readonly kind: "fill"; readonly offset: number; readonly length: number; readonly pattern: Uint8Array };

/** What a sparse file describes. */
export interface SparseImage {
  /** size of the image when unpacked */
  readonly sizeBytes: number;
  readonly pieces: readonly SparsePiece[];
}

/** True if a file begins as a sparse image does. */
export function isAndroidSparse(head: Uint8Array): boolean {
  return head.length >= 4 && readU32(head, 0) === MAGIC;
}

/**
 * Reads a sparse image. Everything is checked: the file may be cut off, damaged or made to do harm.
 * @throws SmolVMError IMAGE_INVALID
 */
export function parseAndroidSparse(file: Uint8Array): SparseImage {
  if (file.length < HEADER_BYTES) throw damaged("its header is cut off");
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  if (view.getUint32(0, true) !== MAGIC) throw damaged("it is not an Android sparse image");
  if (view.getUint16(4, true) !== 1) throw damaged(`version ${view.getUint16(4, true)} is unknown`);
  const headerBytes = view.getUint16(8, true);
  const chunkHeaderBytes = view.getUint16(10, true);
  const blockSize = view.getUint32(12, true);
  const blocks = view.getUint32(16, true);
  const chunks = view.getUint32(20, true);
  if (headerBytes < HEADER_BYTES || chunkHeaderBytes < CHUNK_HEADER_BYTES)
    throw damaged("its headers are too short");
  if (blockSize === 0 || blockSize % 4 !== 0 || blockSize > 2 ** 26)
    throw damaged(`a block size of ${blockSize}`);
  if (blocks * blockSize > IMAGE_MAX_BYTES) throw damaged(`it claims ${blocks} blocks of ${blockSize} bytes`);

  const pieces: SparsePiece[] = [];
  let at = headerBytes;
  let block = 0;
  for (let index = 0; index < chunks; index++) {
    if (at + chunkHeaderBytes > file.length) throw damaged(`chunk ${index} is cut off`);
    const type = view.getUint16(at, true);
    const count = view.getUint32(at + 4, true);
    const total = view.getUint32(at + 8, true);
    const body = at + chunkHeaderBytes;
    const bodyBytes = total - chunkHeaderBytes;
    if (bodyBytes < 0 || body + bodyBytes > file.length) throw damaged(`chunk ${index} is cut off`);
    if (type !== CRC32 && block + count > blocks) throw damaged(`chunk ${index} lies behind the image's end`);
    const offset = block * blockSize;
    const length = count * blockSize;
    const expectBody = (bytes: number): void => {
      if (bodyBytes !== bytes) throw damaged(`chunk ${index} has ${bodyBytes} bytes instead of ${bytes}`);
    };
    switch (type) {
      case RAW:
        expectBody(length);
        if (count > 0) pieces.push({ kind: "raw", offset, data: file.subarray(body, body + length) });
        break;
      case FILL: {
        expectBody(4);
        const pattern = file.subarray(body, body + 4);
        // Zeros are what a hole reads as.
        if (count > 0 && pattern.some((byte) => byte !== 0))
          pieces.push({ kind: "fill", offset, length, pattern });
        break;
      }
      case DONT_CARE:
        expectBody(0);
        break;
      case CRC32:
        expectBody(4); // of an image that was made elsewhere; ours are verified by sha256
        at = body + bodyBytes;
        continue;
      default:
        throw damaged(`chunk ${index} is of the unknown type ${type}`);
    }
    block += count;
    at = body + bodyBytes;
  }
  if (block !== blocks) throw damaged(`its chunks hold ${block} of ${blocks} blocks`);
  return { sizeBytes: blocks * blockSize, pieces };
}

/** A part of an image that may hold data; everything between such parts is a hole. */
export interface SparseExtent {
  /** whole blocks */
  readonly offset: number;
  /** whole blocks */
  readonly data: Uint8Array;
}

/**
 * Makes a sparse image: blocks of zeros become holes, all others are kept as they are.
 * @param sizeBytes size of the image when unpacked
 * @param extents in rising order
 */
export function writeAndroidSparse(
  sizeBytes: number,
  extents: readonly SparseExtent[],
  blockSize: number = DEFAULT_BLOCK_BYTES,
): Uint8Array {
  const parts: Uint8Array[] = [];
  let chunks = 0;
  let block = 0; // up to here the image is described
  const hole = (until: number): void => {
    if (until === block) return;
    parts.push(chunkHeader(DONT_CARE, until - block, 0));
    chunks++;
    block = until;
  };
  for (const { offset, data } of extents) {
    if (offset % blockSize !== 0 || data.length % blockSize !== 0 || offset < block * blockSize) {
      throw new SmolVMError(
        "INTERNAL",
        `a sparse image's extent at ${offset} is not in order or not whole blocks`,
      );
    }
    for (const { start, end } of runsOfData(data, blockSize)) {
      hole(offset / blockSize + start);
      parts.push(
        chunkHeader(RAW, end - start, (end - start) * blockSize),
        data.subarray(start * blockSize, end * blockSize),
      );
      chunks++;
      block += end - start;
    }
  }
  hole(sizeBytes / blockSize);
  return Buffer.concat([header(blockSize, block, chunks), ...parts]);
}

/** The runs of blocks that are not all zeros. */
function* runsOfData(data: Uint8Array, blockSize: number): Generator<{ start: number; end: number }> {
  const zeros = Buffer.alloc(blockSize);
  const blocks = data.length / blockSize;
  const isZero = (block: number): boolean =>
    zeros.equals(data.subarray(block * blockSize, (block + 1) * blockSize));
  for (let start = 0; start < blocks; start++) {
    if (isZero(start)) continue;
    let end = start + 1;
    while (end < blocks && !isZero(end)) end++;
    yield { start, end };
    start = end;
  }
}

function header(blockSize: number, blocks: number, chunks: number): Uint8Array {
  const bytes = Buffer.alloc(HEADER_BYTES);
  bytes.writeUInt32LE(MAGIC, 0);
  bytes.writeUInt16LE(1, 4);
  bytes.writeUInt16LE(HEADER_BYTES, 8);
  bytes.writeUInt16LE(CHUNK_HEADER_BYTES, 10);
  bytes.writeUInt32LE(blockSize, 12);
  bytes.writeUInt32LE(blocks, 16);
  bytes.writeUInt32LE(chunks, 20);
  return bytes;
}

function chunkHeader(type: number, blocks: number, bodyBytes: number): Uint8Array {
  const bytes = Buffer.alloc(CHUNK_HEADER_BYTES);
  bytes.writeUInt16LE(type, 0);
  bytes.writeUInt32LE(blocks, 4);
  bytes.writeUInt32LE(CHUNK_HEADER_BYTES + bodyBytes, 8);
  return bytes;
}

function readU32(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(at, true);
}

function damaged(what: string): SmolVMError {
  return new SmolVMError("IMAGE_INVALID", `damaged disk seed: ${what}`, {
    hint: "Build the image again: smolvm image build --force",
  });
}
