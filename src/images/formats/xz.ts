import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import { SmolVMError } from "../../errors.ts";
import type { ByteSource } from "./byte-source.ts";
import { Crc64 } from "./crc64.ts";
import { DICTIONARY_MAX_BYTES, Lzma2, Lzma2Error } from "./lzma2.ts";

/*
 * Reads .xz files (The .xz File Format 1.2): streams one after the other, as `cat`, pixz and `xz -T0` make them, each of blocks of LZMA2. What they say of
 * themselves is checked: sizes, checksums, the index.
 */

export const XZ_MAGIC = "fd377a585a00";
const HEADER_BYTES = 12;
const FOOTER_MAGIC = "595a";
const LZMA2_FILTER = 0x21;
/** How many bytes each check has, by its number; undefined: none is known of that. */
const CHECK_BYTES: Readonly<Record<number, number>> = { 0: 0, 1: 4, 4: 8, 10: 32 };

interface Check {
  update(bytes: Uint8Array): void;
  digest(): Buffer;
}

/**
 * What is packed in an .xz file, in pieces of at most 2 MiB that stay as they are. Holds the dictionary (at most 256 MiB) and a chunk.
 * @throws SmolVMError FILE_FAILED for what is damaged or ends too early; NOT_SUPPORTED for filters for programs and dictionaries that are larger
 */
export async function* unxz(source: ByteSource): AsyncGenerator<Buffer, void, undefined> {
  for (let first = true; ; first = false) {
    if (!first) {
      // Streams are filled up with zeros, in fours.
      for (;;) {
        await source.fill(4);
        if (source.held < 4 || source.view.subarray(0, 4).some((byte) => byte !== 0)) break;
        source.skip(4);
      }
      if (source.held === 0) return;
    }
    yield* stream(source);
  }
}

async function* stream(source: ByteSource): AsyncGenerator<Buffer, void, undefined> {
  const header = Buffer.from(await source.take(HEADER_BYTES));
  if (header.toString("hex", 0, 6) !== XZ_MAGIC) throw source.damaged("what follows a stream is none");
  const flags = header.subarray(6, 8);
  if (crc32(flags) !== header.readUInt32LE(8)) throw source.damaged("a stream's header is wrong");
  const check = flags[1]!;
  if (flags[0] !== 0 || CHECK_BYTES[check] === undefined)
    throw new SmolVMError("NOT_SUPPORTED", "what is packed with xz has a check that is not known");
  const seen = new Sizes();
  for (;;) {
    const size = (await source.take(1))[0]!;
    if (size === 0) break;
    yield* block(source, size, check, seen);
  }
  const indexBytes = await index(source, seen);
  const footer = Buffer.from(await source.take(HEADER_BYTES));
  const isRight =
    crc32(footer.subarray(4, 10)) === footer.readUInt32LE(0) &&
    (footer.readUInt32LE(4) + 1) * 4 === indexBytes &&
    footer.subarray(8, 10).equals(flags) &&
    footer.toString("hex", 10) === FOOTER_MAGIC;
  if (!isRight) throw source.damaged("a stream's end is wrong");
}

/** What the index says of blocks, held as a hash: there may be any number. */
class Sizes {
  readonly #hash = createHash("sha256");
  count = 0;

  add(packed: number, unpacked: number): void {
    this.#hash.update(`${packed} ${unpacked}\n`);
    this.count++;
  }

  digest(): string {
    return this.#hash.digest("hex");
  }
}

/** A number of up to 63 bits, seven to a byte; of more than 53 it is not exact, and no file has so many. */
async function number(next: () => Promise<number> | number, source: ByteSource): Promise<number> {
  let value = 0;
  for (let at = 0; at < 9; at++) {
    const byte = await next();
    value += (byte & 0x7f) * 2 ** (7 * at);
    if (byte < 0x80) {
      if (byte === 0 && at > 0) break;
      return value;
    }
  }
  throw source.damaged("a number in it is none");
}

async function index(source: ByteSource, seen: Sizes): Promise<number> {
  let bytes = 1;
  let crc = crc32(Buffer.of(0));
  const next = async (): Promise<number> => {
    const one = await source.take(1);
    crc = crc32(one, crc);
    bytes++;
    return one[0]!;
  };
  const listed = new Sizes();
  const count = await number(next, source);
  if (count !== seen.count) throw source.damaged("its index names another number of blocks");
  for (let at = 0; at < count; at++) listed.add(await number(next, source), await number(next, source));
  while (bytes % 4 !== 0) if ((await next()) !== 0) throw source.damaged("its index is wrong");
  const isRight = crc === Buffer.from(await source.take(4)).readUInt32LE(0);
  if (!isRight || listed.digest() !== seen.digest()) throw source.damaged("its index is wrong");
  return bytes + 4;
}

/** What a block's header says. */
interface BlockHeader {
  readonly dictionary: number;
  readonly packed: number | undefined;
  readonly unpacked: number | undefined;
}

async function blockHeader(source: ByteSource, size: number): Promise<BlockHeader> {
  const rest = Buffer.from(await source.take(size * 4 + 3));
  const fields = rest.subarray(0, -4);
  if (crc32(Buffer.concat([Buffer.of(size), fields])) !== rest.readUInt32LE(fields.length))
    throw source.damaged("a block's header is wrong");
  let at = 1;
  const next = (): number => {
    if (at >= fields.length) throw source.damaged("a block's header is too short");
    return fields[at++]!;
  };
  const flags = fields[0]!;
  const packed = (flags & 0x40) === 0 ? undefined : await number(next, source);
  const unpacked = (flags & 0x80) === 0 ? undefined : await number(next, source);
  const filter = await number(next, source);
  if ((flags & 0x3f) !== 0 || filter !== LZMA2_FILTER) {
    throw new SmolVMError(
      "NOT_SUPPORTED",
      "what is packed with xz went through a filter before (--x86, --delta)",
      {
        hint: "Pack it without: xz -dc FILE | xz > OTHER",
      },
    );
  }
  const length = await number(next, source);
  const bits = next();
  if (length !== 1 || bits > 40 || fields.subarray(at).some((byte) => byte !== 0))
    throw source.damaged("a block's header is wrong");
  const dictionary = bits === 40 ? 2 ** 32 - 1 : (2 | (bits & 1)) * 2 ** (Math.floor(bits / 2) + 11);
  if (dictionary > DICTIONARY_MAX_BYTES) {
    throw new SmolVMError(
      "NOT_SUPPORTED",
      `what is packed with xz takes a dictionary of ${dictionary / 2 ** 20} MiB, and at most ${DICTIONARY_MAX_BYTES / 2 ** 20} are given`,
      { hint: "Pack it with a smaller one: xz -dc FILE | xz -9 > OTHER" },
    );
  }
  return { dictionary, packed, unpacked };
}

async function* block(
  source: ByteSource,
  size: number,
  check: number,
  seen: Sizes,
): AsyncGenerator<Buffer, void, undefined> {
  const says = await blockHeader(source, size);
  const lzma = new Lzma2(says.dictionary);
  const sum = checkOf(check);
  let packed = 0;
  let unpacked = 0;
  try {
    for (;;) {
      const control = (await source.take(1))[0]!;
      packed++;
      if (control === 0) break;
      const header = Uint8Array.from(await source.take(Lzma2.headerBytes(control)));
      const content = await source.take(Lzma2.contentBytes(control, header));
      packed += header.length + content.length;
      const piece = Buffer.from(lzma.chunk(control, header, content));
      unpacked += piece.length;
      sum.update(piece);
      yield piece;
    }
  } catch (error) {
    throw error instanceof Lzma2Error ? source.damaged(error.message) : error;
  }
  if ((says.packed ?? packed) !== packed || (says.unpacked ?? unpacked) !== unpacked)
    throw source.damaged("a block is not as long as it says");
  const fill = await source.take((4 - (packed % 4)) % 4);
  if (fill.some((byte) => byte !== 0)) throw source.damaged("a block is not filled up with zeros");
  const wanted = Buffer.from(await source.take(CHECK_BYTES[check]!));
  if (!sum.digest().equals(wanted)) throw source.damaged("a checksum is wrong");
  seen.add((size + 1) * 4 + packed + wanted.length, unpacked);
}

function checkOf(check: number): Check {
  switch (check) {
    case 1: {
      let crc = 0;
      return {
        update: (bytes) => {
          crc = crc32(bytes, crc);
        },
        digest: () => {
          const bytes = Buffer.alloc(4);
          bytes.writeUInt32LE(crc);
          return bytes;
        },
      };
    }
    case 4:
      return new Crc64();
    case 10: {
      const hash = createHash("sha256");
      return { update: (bytes) => void hash.update(bytes), digest: () => hash.digest() };
    }
    default:
      return { update: () => {}, digest: () => Buffer.alloc(0) };
  }
}
