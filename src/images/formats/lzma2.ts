/*
 * LZMA2, as it is inside of an xz file: chunks of at most 64 KiB that become at most 2 MiB each, so a chunk is decoded at once. The probabilities and the
 * order of the parts are LZMA's.
 */

/** Largest dictionary that is allocated for: four times what `xz -9` takes. */
export const DICTIONARY_MAX_BYTES: number = 256 * 1024 * 1024;
/** What one chunk may become. */
const CHUNK_MAX_BYTES = 2 * 1024 * 1024;
/** Above the dictionary, so that it need not be moved for each chunk. */
const ROOM_BYTES = 8 * 1024 * 1024;

const STATES = 12;
const POSITIONS = 16;
/** Where each table of probabilities begins, all in one array. */
const IS_MATCH = 0;
const IS_REP = IS_MATCH + STATES * POSITIONS;
const IS_REP0 = IS_REP + STATES;
const IS_REP1 = IS_REP0 + STATES;
const IS_REP2 = IS_REP1 + STATES;
const IS_REP0_LONG = IS_REP2 + STATES;
const DISTANCE_SLOT = IS_REP0_LONG + STATES * POSITIONS;
const DISTANCE_SPECIAL = DISTANCE_SLOT + 4 * 64;
const ALIGN = DISTANCE_SPECIAL + 128;
const MATCH_LENGTH = ALIGN + 16;
/** Of a length's tables: two choices, low and middle ones for each position, high ones. */
const LOW = 2;
const MIDDLE = LOW + POSITIONS * 8;
const HIGH = MIDDLE + POSITIONS * 8;
const LENGTH_SIZE = HIGH + 256;
const REP_LENGTH = MATCH_LENGTH + LENGTH_SIZE;
const LITERAL = REP_LENGTH + LENGTH_SIZE;
const LITERAL_SIZE = 0x300;
const MATCH_MIN = 2;

/** What is wrong with a chunk. */
export class Lzma2Error extends Error {}

/** Decodes the chunks of one LZMA2 stream, one after the other. Pure; holds the dictionary and a chunk. */
export class Lzma2 {
  readonly #dictionary: number;
  #window: Uint8Array;
  /** where the next byte goes */
  #at = 0;
  /** bytes before it that may be repeated */
  #has = 0;
  /** bytes since the dictionary was emptied, of which the last bits count */
  #position = 0;
  readonly #probs = new Uint16Array(LITERAL + (LITERAL_SIZE << 4));
  #state = 0;
  #rep0 = 0;
  #rep1 = 0;
  #rep2 = 0;
  #rep3 = 0;
  #lc = 0;
  #literalMask = 0;
  #positionMask = 0;
  /** what the next chunk has to begin with */
  #needs: "dictionary" | "properties" | undefined = "dictionary";

  // The range decoder
  #input: Uint8Array = new Uint8Array(0);
  #next = 0;
  #range = 0;
  #code = 0;

  /** @param dictionary in bytes */
  constructor(dictionary: number) {
    this.#dictionary = dictionary;
    this.#window = new Uint8Array(Math.min(dictionary, CHUNK_MAX_BYTES) + CHUNK_MAX_BYTES);
  }

  /** How many bytes follow a control byte before the chunk's content. @throws Lzma2Error */
  static headerBytes(control: number): number {
    if (control >= 0xc0) return 5;
    if (control >= 0x80) return 4;
    if (control === 1 || control === 2) return 2;
    throw new Lzma2Error("there is no chunk of that kind");
  }

  /** How many bytes of content a chunk has. */
  static contentBytes(control: number, header: Uint8Array): number {
    return control >= 0x80 ? ((header[2]! << 8) | header[3]!) + 1 : ((header[0]! << 8) | header[1]!) + 1;
  }

  /**
   * Decodes a chunk.
   * @returns what it becomes, which stays as it is until the next one
   * @throws Lzma2Error
   */
  chunk(control: number, header: Uint8Array, content: Uint8Array): Uint8Array {
    if (control === 1 || control >= 0xe0) {
      this.#has = 0;
      this.#position = 0;
      this.#needs = "properties";
    } else if (this.#needs === "dictionary") throw new Lzma2Error("its first chunk is not a first one");
    if (control < 0x80) {
      this.#room(content.length);
      this.#window.set(content, this.#at);
      this.#has += content.length;
      this.#position += content.length;
      return this.#became(content.length);
    }
    if (control >= 0xc0) {
      this.#properties(header[4]!);
      this.#needs = undefined;
    } else if (this.#needs !== undefined) throw new Lzma2Error("a chunk has no properties");
    if (control >= 0xa0) this.#reset();
    const size = (((control & 0x1f) << 16) | (header[0]! << 8) | header[1]!) + 1;
    this.#room(size);
    this.#decode(content, size);
    return this.#became(size);
  }

  #became(size: number): Uint8Array {
    const start = this.#at;
    this.#at += size;
    // Neither may outgrow what counts as a small number.
    this.#has = Math.min(this.#has, this.#dictionary);
    this.#position &= POSITIONS - 1;
    return this.#window.subarray(start, this.#at);
  }

  /** Makes room for what a chunk becomes, behind as much of what came before as the dictionary holds. */
  #room(size: number): void {
    if (this.#at + size <= this.#window.length) return;
    const keep = this.#has;
    const most = this.#dictionary + CHUNK_MAX_BYTES + ROOM_BYTES;
    const wanted = keep + size > this.#window.length / 2 ? this.#window.length * 2 : this.#window.length;
    const length = Math.max(keep + size, Math.min(wanted, most));
    if (length <= this.#window.length) this.#window.copyWithin(0, this.#at - keep, this.#at);
    else {
      const larger = new Uint8Array(length);
      larger.set(this.#window.subarray(this.#at - keep, this.#at));
      this.#window = larger;
    }
    this.#at = keep;
  }

  #properties(byte: number): void {
    const lc = byte % 9;
    const rest = Math.floor(byte / 9);
    const lp = rest % 5;
    const pb = Math.floor(rest / 5);
    if (pb > 4 || lc + lp > 4) throw new Lzma2Error("a chunk's properties are none");
    this.#lc = lc;
    this.#literalMask = (1 << lp) - 1;
    this.#positionMask = (1 << pb) - 1;
  }

  #reset(): void {
    this.#probs.fill(1024);
    this.#state = 0;
    this.#rep0 = 0;
    this.#rep1 = 0;
    this.#rep2 = 0;
    this.#rep3 = 0;
  }

  #bit(index: number): 0 | 1 {
    const probs = this.#probs;
    const prob = probs[index]!;
    const bound = (this.#range >>> 11) * prob;
    let bit: 0 | 1;
    if (this.#code < bound) {
      this.#range = bound;
      probs[index] = prob + ((2048 - prob) >> 5);
      bit = 0;
    } else {
      this.#range -= bound;
      this.#code -= bound;
      probs[index] = prob - (prob >> 5);
      bit = 1;
    }
    if (this.#range < 0x1000000) this.#normalize();
    return bit;
  }

  #normalize(): void {
    this.#range = (this.#range << 8) >>> 0;
    this.#code = ((this.#code << 8) | this.#input[this.#next++]!) >>> 0;
  }

  #tree(index: number, bits: number): number {
    let symbol = 1;
    for (let left = bits; left > 0; left--) symbol = (symbol << 1) | this.#bit(index + symbol);
    return symbol - (1 << bits);
  }

  #reverseTree(index: number, bits: number): number {
    let symbol = 1;
    let value = 0;
    for (let at = 0; at < bits; at++) {
      const bit = this.#bit(index + symbol);
      symbol = (symbol << 1) | bit;
      value |= bit << at;
    }
    return value;
  }

  #direct(bits: number): number {
    let value = 0;
    for (let left = bits; left > 0; left--) {
      this.#range >>>= 1;
      const bit = this.#code >= this.#range ? 1 : 0;
      if (bit === 1) this.#code -= this.#range;
      value = ((value << 1) | bit) >>> 0;
      if (this.#range < 0x1000000) this.#normalize();
    }
    return value;
  }

  #length(index: number, position: number): number {
    if (this.#bit(index) === 0) return MATCH_MIN + this.#tree(index + LOW + (position << 3), 3);
    if (this.#bit(index + 1) === 0) return MATCH_MIN + 8 + this.#tree(index + MIDDLE + (position << 3), 3);
    return MATCH_MIN + 16 + this.#tree(index + HIGH, 8);
  }

  #distance(length: number): number {
    const slot = this.#tree(DISTANCE_SLOT + (Math.min(length - MATCH_MIN, 3) << 6), 6);
    if (slot < 4) return slot;
    const bits = (slot >> 1) - 1;
    const base = ((2 | (slot & 1)) << bits) >>> 0;
    if (slot < 14) return base + this.#reverseTree(DISTANCE_SPECIAL + base - slot, bits);
    const high = (this.#direct(bits - 4) << 4) >>> 0;
    return base + high + this.#reverseTree(ALIGN, 4);
  }

  #literal(at: number): void {
    const window = this.#window;
    const before = this.#has === 0 ? 0 : window[at - 1]!;
    const context = ((this.#position & this.#literalMask) << this.#lc) + (before >> (8 - this.#lc));
    const index = LITERAL + LITERAL_SIZE * context;
    let symbol = 1;
    if (this.#state >= 7) {
      let match = window[at - this.#rep0 - 1]!;
      while (symbol < 0x100) {
        const matchBit = (match >> 7) & 1;
        match <<= 1;
        const bit = this.#bit(index + ((1 + matchBit) << 8) + symbol);
        symbol = (symbol << 1) | bit;
        if (matchBit !== bit) break;
      }
    }
    while (symbol < 0x100) symbol = (symbol << 1) | this.#bit(index + symbol);
    window[at] = symbol;
    this.#state = this.#state < 4 ? 0 : this.#state < 10 ? this.#state - 3 : this.#state - 6;
  }

  /** Reads which match comes: its distance becomes `rep0`. @returns its length */
  #match(positionState: number): number {
    const state = this.#state;
    const after = state < 7 ? 0 : 3;
    if (this.#bit(IS_REP + state) === 0) {
      this.#rep3 = this.#rep2;
      this.#rep2 = this.#rep1;
      this.#rep1 = this.#rep0;
      const length = this.#length(MATCH_LENGTH, positionState);
      this.#state = 7 + after;
      this.#rep0 = this.#distance(length);
      return length;
    }
    if (this.#bit(IS_REP0 + state) === 0) {
      if (this.#bit(IS_REP0_LONG + (state << 4) + positionState) === 0) {
        this.#state = state < 7 ? 9 : 11;
        return 1;
      }
    } else {
      const distance = this.#earlier(state);
      this.#rep1 = this.#rep0;
      this.#rep0 = distance;
    }
    this.#state = 8 + after;
    return this.#length(REP_LENGTH, positionState);
  }

  #earlier(state: number): number {
    if (this.#bit(IS_REP1 + state) === 0) return this.#rep1;
    let distance = this.#rep2;
    if (this.#bit(IS_REP2 + state) === 1) {
      distance = this.#rep3;
      this.#rep3 = this.#rep2;
    }
    this.#rep2 = this.#rep1;
    return distance;
  }

  #decode(content: Uint8Array, size: number): void {
    if (content.length < 5 || content[0] !== 0) throw new Lzma2Error("a chunk's beginning is none");
    this.#input = content;
    this.#range = 0xffffffff;
    this.#code = ((content[1]! << 24) | (content[2]! << 16) | (content[3]! << 8) | content[4]!) >>> 0;
    this.#next = 5;
    const end = this.#at + size;
    for (let at = this.#at; at < end; ) {
      const positionState = this.#position & this.#positionMask;
      if (this.#bit(IS_MATCH + (this.#state << 4) + positionState) === 0) {
        this.#literal(at++);
        this.#has++;
        this.#position++;
        continue;
      }
      const length = this.#match(positionState);
      const distance = this.#rep0 + 1;
      if (distance > this.#has || distance > this.#dictionary || length > end - at)
        throw new Lzma2Error("a chunk repeats what was not there");
      const window = this.#window;
      // Byte by byte: what is repeated may overlap with what it becomes.
      for (const until = at + length; at < until; at++) window[at] = window[at - distance]!;
      this.#has += length;
      this.#position += length;
    }
    if (this.#code !== 0 || this.#next !== content.length)
      throw new Lzma2Error("a chunk does not end where it should");
  }
}
