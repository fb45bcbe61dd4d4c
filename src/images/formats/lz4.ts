import { SmolVMError } from "../../errors.ts";

/**
 * LZ4 decoding, for kernels whose payload is compressed with it. Formats: the block format and the legacy frame
 * (https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md and lz4_Frame_format.md, "Legacy frame"). Pure.
 *
 *   legacy frame:  u32 0x184C2102   { u32 compressedSize, block } ...   every block but the last holds 8 MiB
 *   block:         { token, [literal length...], literals, u16 offset, [match length...] } ...  ends in literals
 */
const LZ4_LEGACY_MAGIC = 0x184c2102;

/** What one block of a legacy frame decodes to, at most. */
const LEGACY_BLOCK_BYTES = 8 * 1024 * 1024;
/** LZ4_compressBound(8 MiB): a larger compressed size is damage (or what follows the frame). */
const LEGACY_COMPRESSED_MAX = LEGACY_BLOCK_BYTES + Math.floor(LEGACY_BLOCK_BYTES / 255) + 16;
/** Shortest match (block format). */
const MIN_MATCH = 4;

/**
 * Decodes an LZ4 legacy frame. Up to three bytes, or four that Linux appends (the decoded size), may follow the last
 * block.
 * @param maxBytes refuse to decode to more than that
 * @throws SmolVMError IMAGE_INVALID
 */
export function decodeLz4Legacy(frame: Uint8Array, maxBytes: number): Uint8Array {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (frame.length < 8 || view.getUint32(0, true) !== LZ4_LEGACY_MAGIC)
    throw damaged("no legacy frame magic");
  const blocks: Uint8Array[] = [];
  let total = 0;
  let at = 4;
  while (frame.length - at > 4) {
    const size = view.getUint32(at, true);
    at += 4;
    if (size === 0 || size > LEGACY_COMPRESSED_MAX) throw damaged(`a block of ${size} bytes`);
    if (size > frame.length - at) throw damaged("the last block is cut off");
    const block = new Uint8Array(LEGACY_BLOCK_BYTES);
    const length = decodeLz4Block(frame.subarray(at, at + size), block);
    total += length;
    if (total > maxBytes) throw damaged(`it decodes to more than ${maxBytes} bytes`);
    blocks.push(block.subarray(0, length));
    at += size;
  }
  if (blocks.length === 0) throw damaged("no block");
  return Buffer.concat(blocks, total);
}

/**
 * Decodes one LZ4 block into `target` and returns the number of bytes written.
 * @throws SmolVMError IMAGE_INVALID for damaged input, or input that decodes to more than `target` holds
 */
export function decodeLz4Block(source: Uint8Array, target: Uint8Array): number {
  let from = 0;
  let to = 0;
  const end = source.length;
  while (from < end) {
    const token = source[from++]!;

    let literals = token >> 4;
    if (literals === 15) {
      let byte: number;
      do {
        if (from >= end) throw damaged("a literal length is cut off");
        byte = source[from++]!;
        literals += byte;
      } while (byte === 255);
    }
    if (literals > end - from) throw damaged("literals are cut off");
    if (literals > target.length - to) throw damaged("it decodes to more than its block holds");
    // A short copy costs less as a loop than as a call.
    if (literals > 32) target.set(source.subarray(from, from + literals), to);
    else for (let i = 0; i < literals; i++) target[to + i] = source[from + i]!;
    from += literals;
    to += literals;
    if (from === end) return to; // the last sequence has no match

    if (end - from < 2) throw damaged("a match offset is cut off");
    const offset = source[from]! | (source[from + 1]! << 8);
    from += 2;
    if (offset === 0 || offset > to) throw damaged("a match points before the data");
    let match = token & 15;
    if (match === 15) {
      let byte: number;
      do {
        if (from >= end) throw damaged("a match length is cut off");
        byte = source[from++]!;
        match += byte;
      } while (byte === 255);
    }
    match += MIN_MATCH;
    if (match > target.length - to) throw damaged("it decodes to more than its block holds");
    // A match may overlap what it writes (a run): only then byte by byte is a must.
    if (offset >= match && match > 32) target.copyWithin(to, to - offset, to - offset + match);
    else for (let i = 0; i < match; i++) target[to + i] = target[to + i - offset]!;
    to += match;
  }
  throw damaged("it ends in a match");
}

function damaged(what: string): SmolVMError {
  return new SmolVMError("IMAGE_INVALID", `damaged LZ4 data: ${what}`, {
    hint: "Get the kernel file again.",
  });
}
