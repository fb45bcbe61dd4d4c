import type { ByteSource } from "./byte-source.ts";

/*
 * Reads .bz2 files: streams one after the other, as `cat` and pbzip2 make them, each of blocks that are decoded by themselves. Every block's checksum and
 * each stream's are checked.
 */

/** What a file begins with, before the digit that tells the size of its blocks. */
export const BZIP2_MAGIC = "425a68";
const BLOCK = 0x314159265359;
const END = 0x177245385090;
const BLOCK_UNIT_BYTES = 100_000;
/** More than any block takes: 900,001 symbols of 20 bits, and its tables. */
const BLOCK_MAX_PACKED_BYTES = 2_400_000;
const PIECE_BYTES = 256 * 1024;
const GROUP = 50;
const MAX_BITS = 20;
const MAX_SYMBOLS = 258;
const MAX_TABLES = 6;

class Bzip2Error extends Error {}

/**
 * What is packed in a .bz2 file, in pieces of at most 256 KiB that stay as they are. Holds a block: 10 MiB at most.
 * @throws SmolVMError FILE_FAILED for what is damaged or ends too early
 */
export async function* bunzip2(source: ByteSource): AsyncGenerator<Buffer, void, undefined> {
  for (let first = true; ; first = false) {
    await source.fill(BLOCK_MAX_PACKED_BYTES);
    // What follows a stream and is none means nothing, as for bzip2: archives are filled up with zeros.
    if (!first && !Buffer.from(source.view.subarray(0, 3)).equals(Buffer.from(BZIP2_MAGIC, "hex"))) return;
    const header = Buffer.from(await source.take(4));
    const level = header[3]! - 0x30;
    if (header.toString("hex", 0, 3) !== BZIP2_MAGIC || level < 1 || level > 9)
      throw source.damaged("its beginning is none");
    const limit = level * BLOCK_UNIT_BYTES;
    const block = new Block(limit);
    let bit = 0;
    let sum = 0;
    for (;;) {
      await source.fill(BLOCK_MAX_PACKED_BYTES);
      const bits = new Bits(source.view, bit);
      try {
        const magic = bits.take(24) * 2 ** 24 + bits.take(24);
        const wanted = bits.take(16) * 2 ** 16 + bits.take(16);
        if (magic === END) {
          if (wanted !== sum) throw new Bzip2Error("a checksum is wrong");
          source.skip(Math.ceil(bits.used / 8));
          break;
        }
        if (magic !== BLOCK) throw new Bzip2Error("what follows a block is none");
        block.read(bits);
        source.skip(Math.floor(bits.used / 8));
        bit = bits.used % 8;
        yield* block.content();
        if (block.sum !== wanted) throw new Bzip2Error("a checksum is wrong");
        sum = (((sum << 1) | (sum >>> 31)) ^ wanted) >>> 0;
      } catch (error) {
        throw error instanceof Bzip2Error ? source.damaged(error.message) : error;
      }
    }
  }
}

/** Bits, the highest of each byte first. */
class Bits {
  readonly #bytes: Uint8Array;
  #at: number;
  /** bits that were read of `#bytes` and not taken, in the lowest of it */
  #held = 0;
  #count = 0;

  constructor(bytes: Uint8Array, skipBits: number) {
    this.#bytes = bytes;
    this.#at = 0;
    if (skipBits > 0) this.take(skipBits);
  }

  get used(): number {
    return this.#at * 8 - this.#count;
  }

  /** The next bits, up to 24 of them. */
  take(count: number): number {
    while (this.#count < count) {
      if (this.#at >= this.#bytes.length) throw new Bzip2Error("it ends in the middle");
      this.#held = ((this.#held << 8) | this.#bytes[this.#at++]!) & 0x7fffffff;
      this.#count += 8;
    }
    this.#count -= count;
    return (this.#held >>> this.#count) & ((1 << count) - 1);
  }
}

/** A code's symbols in the order of their codes, and for each length of codes where it ends in them. */
interface Table {
  /** the largest code of each length, or -1 */
  readonly limit: Int32Array;
  /** what a code of each length is ahead of its symbol's place */
  readonly base: Int32Array;
  readonly symbols: Uint16Array;
  readonly shortest: number;
}

class Block {
  readonly #limit: number;
  /** for each byte of the transformed block the byte, and above it where the one after it stands */
  readonly #links: Uint32Array;
  #length = 0;
  #origin = 0;
  /** of what the last block became */
  sum = 0;

  constructor(limit: number) {
    this.#limit = limit;
    this.#links = new Uint32Array(limit);
  }

  read(bits: Bits): void {
    if (bits.take(1) === 1) throw new Bzip2Error("a block is randomised, as bzip2 0.9 made them");
    this.#origin = bits.take(24);
    const used = usedBytes(bits);
    if (used.length === 0) throw new Bzip2Error("a block holds no bytes");
    const tables = bits.take(3);
    const groups = bits.take(15);
    if (tables < 2 || tables > MAX_TABLES || groups === 0) throw new Bzip2Error("a block's tables are none");
    const selectors = readSelectors(bits, tables, groups);
    const codes: Table[] = [];
    for (let at = 0; at < tables; at++) codes.push(readTable(bits, used.length + 2));
    this.#symbols(bits, used, selectors, codes);
    if (this.#origin >= this.#length) throw new Bzip2Error("a block begins where it does not reach");
    this.#link();
  }

  /** Runs of the most recent byte, and bytes by how recent they are: what the block was transformed to. */
  #symbols(bits: Bits, used: Uint8Array, selectors: Uint8Array, codes: readonly Table[]): void {
    const recent = Uint8Array.from(used);
    const end = used.length + 1;
    const links = this.#links;
    let length = 0;
    let run = 0;
    let worth = 1;
    let table = codes[0]!;
    for (let at = 0; ; at++) {
      if (at % GROUP === 0) {
        const selector = selectors[at / GROUP];
        if (selector === undefined) throw new Bzip2Error("a block has too many symbols");
        table = codes[selector]!;
      }
      const symbol = readSymbol(bits, table);
      if (symbol <= 1) {
        if (worth > this.#limit) throw new Bzip2Error("a block is larger than it may be");
        run += worth << symbol;
        worth <<= 1;
        continue;
      }
      if (run > 0) {
        if (length + run > this.#limit) throw new Bzip2Error("a block is larger than it may be");
        links.fill(recent[0]!, length, length + run);
        length += run;
        run = 0;
        worth = 1;
      }
      if (symbol === end) break;
      if (length === this.#limit) throw new Bzip2Error("a block is larger than it may be");
      const byte = recent[symbol - 1]!;
      recent.copyWithin(1, 0, symbol - 1);
      recent[0] = byte;
      links[length++] = byte;
    }
    this.#length = length;
  }

  /** Notes above each byte where the next one stands: the transformation backwards. */
  #link(): void {
    const links = this.#links;
    const starts = new Uint32Array(256);
    for (let at = 0; at < this.#length; at++) starts[links[at]! & 0xff]!++;
    let before = 0;
    for (let byte = 0; byte < 256; byte++) {
      const count = starts[byte]!;
      starts[byte] = before;
      before += count;
    }
    for (let at = 0; at < this.#length; at++) links[starts[links[at]! & 0xff]!++]! |= at << 8;
  }

  /** What was packed: after four equal bytes comes how many more there were. */
  *content(): Generator<Buffer, void, undefined> {
    const links = this.#links;
    let crc = -1;
    let piece = Buffer.allocUnsafeSlow(PIECE_BYTES);
    let at = 0;
    let equal = 0;
    let last = -1;
    let place = links[this.#origin]! >>> 8;
    for (let left = this.#length; left > 0; left--) {
      const link = links[place]!;
      place = link >>> 8;
      const byte = link & 0xff;
      let times = 1;
      if (equal === 4) {
        times = byte;
        equal = 0;
      } else {
        equal = byte === last ? equal + 1 : 1;
        last = byte;
      }
      if (at + times > PIECE_BYTES) {
        yield piece.subarray(0, at);
        piece = Buffer.allocUnsafeSlow(PIECE_BYTES);
        at = 0;
      }
      for (; times > 0; times--) {
        piece[at++] = last;
        crc = (crc << 8) ^ CRC[(crc >>> 24) ^ last]!;
      }
      if (equal === 0) last = -1;
    }
    if (at > 0) yield piece.subarray(0, at);
    this.sum = ~crc >>> 0;
  }
}

/** Which bytes there are in a block. */
function usedBytes(bits: Bits): Uint8Array {
  const used: number[] = [];
  const ranges = bits.take(16);
  for (let range = 0; range < 16; range++) {
    if ((ranges & (0x8000 >> range)) === 0) continue;
    const some = bits.take(16);
    for (let at = 0; at < 16; at++) if ((some & (0x8000 >> at)) !== 0) used.push(range * 16 + at);
  }
  return Uint8Array.from(used);
}

/** Which table each group of symbols is coded with, by how recent it is. */
function readSelectors(bits: Bits, tables: number, groups: number): Uint8Array {
  const recent = Uint8Array.from({ length: tables }, (_, at) => at);
  const selectors = new Uint8Array(groups);
  for (let at = 0; at < groups; at++) {
    let place = 0;
    while (bits.take(1) === 1) if (++place >= tables) throw new Bzip2Error("a block's tables are none");
    const selector = recent[place]!;
    recent.copyWithin(1, 0, place);
    recent[0] = selector;
    selectors[at] = selector;
  }
  return selectors;
}

function readTable(bits: Bits, symbols: number): Table {
  const lengths = new Uint8Array(MAX_SYMBOLS);
  let length = bits.take(5);
  for (let symbol = 0; symbol < symbols; symbol++) {
    for (;;) {
      if (length < 1 || length > MAX_BITS) throw new Bzip2Error("a block's codes are none");
      if (bits.take(1) === 0) break;
      length += bits.take(1) === 0 ? 1 : -1;
    }
    lengths[symbol] = length;
  }
  const table: Table = {
    limit: new Int32Array(MAX_BITS + 1).fill(-1),
    base: new Int32Array(MAX_BITS + 1),
    symbols: new Uint16Array(symbols),
    shortest: Math.min(...lengths.subarray(0, symbols)),
  };
  let code = 0;
  let place = 0;
  for (let bitsLong = 1; bitsLong <= MAX_BITS; bitsLong++) {
    table.base[bitsLong] = code - place;
    for (let symbol = 0; symbol < symbols; symbol++)
      if (lengths[symbol] === bitsLong) {
        table.symbols[place++] = symbol;
        code++;
      }
    table.limit[bitsLong] = code - 1;
    code <<= 1;
  }
  return table;
}

function readSymbol(bits: Bits, { limit, base, symbols, shortest }: Table): number {
  let length = shortest;
  let code = bits.take(length);
  while (code > limit[length]!) {
    if (++length > MAX_BITS) throw new Bzip2Error("a code of a block stands for nothing");
    code = (code << 1) | bits.take(1);
  }
  const symbol = symbols[code - base[length]!];
  if (symbol === undefined) throw new Bzip2Error("a code of a block stands for nothing");
  return symbol;
}

/** CRC-32, the highest bit first. */
const CRC = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 24;
  for (let bit = 0; bit < 8; bit++) crc = (crc << 1) ^ (crc < 0 ? 0x04c11db7 : 0);
  return crc;
});
