import { SmolVMError } from "../../errors.ts";
import { damaged, decodeNumber, padding } from "./header.ts";

/*
 * Files that were stored with their holes (https://www.gnu.org/software/tar/manual/html_section/Sparse-Formats.html): GNU's old format, whose header (type S)
 * and the blocks behind it list what there is of the file, and pax 0.0, 0.1 and 1.0, of which the first two list it in the extended header and the last at the
 * content's beginning.
 */

/** What there is of a file: an offset, and so many bytes of content from there on. All else are zeros. */
export interface SparsePart {
  readonly offset: number;
  readonly length: number;
}

/** What an extended header says of a sparse file. */
export interface PaxSparse {
  major?: number;
  minor?: number;
  /** bytes of the whole file */
  size?: number;
  /** the file's own name, where its entry's is another */
  name?: Uint8Array;
  /** offsets and lengths, in turn */
  numbers?: number[];
}

/** More parts than this no file has: a megabyte of them is held. */
const MAX_PARTS = 65_536;
/** Zeros come in pieces of so many bytes. */
const ZEROS: Buffer = Buffer.alloc(64 * 1024);

/** The error for a sparse file where none can be used. */
export function sparseRefused(): SmolVMError {
  return new SmolVMError("NOT_SUPPORTED", "the archive holds a sparse file, which cannot be read here", {
    hint: "Make the archive without tar's --sparse (-S).",
  });
}

/**
 * Takes note of one of an extended header's fields. Pure.
 * @param key without "GNU.sparse."
 * @throws SmolVMError FILE_FAILED
 */
export function notePaxSparse(sparse: PaxSparse, key: string, value: Buffer): void {
  const text = value.toString("latin1");
  if (key === "major" || key === "minor") sparse[key] = wholeNumber(text);
  else if (key === "size" || key === "realsize") sparse.size = wholeNumber(text);
  else if (key === "name") sparse.name = Buffer.from(value);
  else if (key === "offset" || key === "numbytes" || key === "map") {
    sparse.numbers ??= [];
    for (const part of text === "" ? [] : text.split(",")) sparse.numbers.push(wholeNumber(part));
    if (sparse.numbers.length > 2 * MAX_PARTS) throw tooMany();
  } else if (key !== "numblocks") throw damaged(`a sparse file's '${key.slice(0, 40)}' is not known`);
}

/** Pairs of numbers as parts. Pure. @throws SmolVMError FILE_FAILED */
export function partsOf(numbers: readonly number[]): SparsePart[] {
  if (numbers.length % 2 !== 0) throw damaged("a sparse file's list of parts has no end");
  const parts: SparsePart[] = [];
  for (let at = 0; at < numbers.length; at += 2)
    parts.push({ offset: numbers[at]!, length: numbers[at + 1]! });
  return parts;
}

/** GNU's old list: in the header from byte 386 (4 parts), and in blocks behind it (21 parts each). */
export class GnuSparse {
  readonly #parts: SparsePart[] = [];
  /** another block of it follows */
  more: boolean;
  /** bytes of the whole file */
  readonly size: number;

  /** @throws SmolVMError FILE_FAILED */
  constructor(header: Buffer) {
    this.size = decodeNumber(header.subarray(483, 495), "size");
    this.#take(header.subarray(386, 386 + 4 * 24));
    this.more = header[482] !== 0;
  }

  /** The next block of the list. @throws SmolVMError FILE_FAILED */
  extend(block: Buffer): void {
    this.#take(block.subarray(0, 21 * 24));
    this.more = block[504] !== 0;
    if (this.#parts.length > MAX_PARTS) throw tooMany();
  }

  get parts(): readonly SparsePart[] {
    return this.#parts;
  }

  #take(list: Buffer): void {
    for (let at = 0; at < list.length; at += 24) {
      const entry = list.subarray(at, at + 24);
      if (entry[12] === 0) return; // nothing is written there
      const offset = decodeNumber(entry.subarray(0, 12), "sparse part");
      this.#parts.push({ offset, length: decodeNumber(entry.subarray(12, 24), "sparse part") });
    }
  }
}

/** The list of pax 1.0, which is the beginning of the content: numbers, each on a line, how many parts first, in whole blocks. */
export class SparseList {
  readonly #numbers: number[] = [];
  #digits = "";
  #bytes = 0;

  /**
   * Takes what comes.
   * @returns how many bytes of it are not the list's any more; undefined: all are
   * @throws SmolVMError FILE_FAILED
   */
  take(data: Buffer): number | undefined {
    for (let at = 0; at < data.length; at++) {
      if (this.#isWhole()) {
        // The rest of the block is padding.
        const fill = padding(this.#bytes);
        const padded = Math.min(fill, data.length - at);
        this.#bytes += padded;
        return padded === fill ? data.length - at - padded : undefined;
      }
      this.#bytes++;
      const byte = data[at]!;
      if (byte === 0x0a) {
        this.#numbers.push(wholeNumber(this.#digits));
        this.#digits = "";
        if (this.#numbers[0]! > MAX_PARTS) throw tooMany();
      } else this.#digits += String.fromCharCode(byte);
      if (this.#digits.length > 20) throw damaged("a sparse file's list is none");
    }
    return this.#isWhole() && padding(this.#bytes) === 0 ? 0 : undefined;
  }

  get parts(): SparsePart[] {
    return partsOf(this.#numbers.slice(1));
  }

  /** what the list took of the content */
  get bytes(): number {
    return this.#bytes;
  }

  #isWhole(): boolean {
    return this.#numbers.length > 0 && this.#numbers.length === 1 + 2 * this.#numbers[0]!;
  }
}

/** Puts the holes back between what was stored of a file. */
export class SparseContent {
  readonly #parts: readonly SparsePart[];
  readonly #size: number;
  #index = 0;
  /** where in the file the next byte goes */
  #at = 0;

  /**
   * @param size bytes of the whole file
   * @param stored bytes of content that come
   * @throws SmolVMError FILE_FAILED for parts that are not in order, not in the file, or not what is stored
   */
  constructor(parts: readonly SparsePart[], size: number, stored: number) {
    let end = 0;
    let sum = 0;
    for (const { offset, length } of parts) {
      if (offset < end || offset + length > size) throw damaged("a sparse file's parts are not in order");
      end = offset + length;
      sum += length;
    }
    if (sum !== stored)
      throw damaged(`of a sparse file ${stored} bytes are stored, and its parts have ${sum}`);
    this.#parts = parts;
    this.#size = size;
  }

  /** What of the file these stored bytes are, with the holes before them. */
  *data(stored: Buffer): Generator<Buffer> {
    for (let rest = stored; rest.length > 0; ) {
      const part = this.#parts[this.#index]!;
      const left = part.offset + part.length - Math.max(this.#at, part.offset);
      if (left <= 0) {
        this.#index++;
        continue;
      }
      yield* this.#zerosTo(part.offset);
      const piece = rest.subarray(0, left);
      rest = rest.subarray(piece.length);
      this.#at += piece.length;
      yield piece;
    }
  }

  /** The hole behind the last part. */
  *end(): Generator<Buffer> {
    yield* this.#zerosTo(this.#size);
  }

  *#zerosTo(offset: number): Generator<Buffer> {
    while (this.#at < offset) {
      const zeros = ZEROS.subarray(0, Math.min(ZEROS.length, offset - this.#at));
      this.#at += zeros.length;
      yield zeros;
    }
  }
}

function wholeNumber(text: string): number {
  if (/^\d{1,16}$/.test(text) && Number.isSafeInteger(Number(text))) return Number(text);
  throw damaged("a sparse file's list has what is no number");
}

function tooMany(): SmolVMError {
  return damaged(`a sparse file has more than ${MAX_PARTS} parts`);
}
