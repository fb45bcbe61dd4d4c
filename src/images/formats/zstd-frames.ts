import { packedDamaged } from "./packed-error.ts";

/*
 * Where the frames of a zstd stream begin and end (RFC 8878, 3.1). Node's decoder reads one frame and silently leaves the rest; several are what
 * parallel compressors write, and layers that can be read in parts ("zstd:chunked"), which hold skippable ones as well.
 */

const MAGIC = 0xfd2fb528;
/** The last four bits are free. */
const SKIPPABLE = 0x184d2a50;

/** A piece of a frame, or its end. */
export type ZstdPiece = { readonly data: Buffer } | { readonly end: true };

type State = "magic" | "skippable" | "skip" | "descriptor" | "header" | "block" | "content" | "checksum";

/** Splits a stream that comes in pieces of any size into its frames; skippable ones are left out. Pure. */
export class ZstdFrames {
  #state: State = "magic";
  /** bytes of a field that is read as a whole */
  #field: Buffer = Buffer.alloc(4);
  #fieldBytes = 0;
  /** bytes of content that are still to come */
  #left = 0;
  #checksum = false;
  #last = false;

  /** What was read so far ends with a frame. */
  get whole(): boolean {
    return this.#state === "magic" && this.#fieldBytes === 0;
  }

  /** @throws SmolVMError FILE_FAILED for what is no zstd */
  *push(chunk: Buffer): Generator<ZstdPiece, void, undefined> {
    let rest = chunk;
    while (rest.length > 0) {
      if (this.#state === "content" || this.#state === "skip") {
        const data = rest.subarray(0, this.#left);
        rest = rest.subarray(data.length);
        this.#left -= data.length;
        if (this.#state === "content") yield { data };
        if (this.#left === 0) yield* this.#contentOver();
        continue;
      }
      const take = Math.min(this.#field.length - this.#fieldBytes, rest.length);
      rest.copy(this.#field, this.#fieldBytes, 0, take);
      this.#fieldBytes += take;
      rest = rest.subarray(take);
      if (this.#fieldBytes === this.#field.length) yield* this.#fieldRead(this.#field);
    }
  }

  *#fieldRead(field: Buffer): Generator<ZstdPiece, void, undefined> {
    switch (this.#state) {
      case "magic": {
        const magic = field.readUInt32LE(0);
        if ((magic & 0xfffffff0) >>> 0 === SKIPPABLE) return this.#next("skippable", 4);
        if (magic !== MAGIC) throw packedDamaged("zstd", "what follows a frame is none");
        yield { data: field };
        return this.#next("descriptor", 1);
      }
      case "skippable": {
        const size = field.readUInt32LE(0);
        return size === 0 ? this.#next("magic", 4) : this.#content("skip", size);
      }
      case "descriptor": {
        yield { data: field };
        const descriptor = field[0]!;
        this.#checksum = (descriptor & 0x04) !== 0;
        const single = (descriptor & 0x20) !== 0;
        const dictionary = [0, 1, 2, 4][descriptor & 0x03]!;
        const size = [single ? 1 : 0, 2, 4, 8][descriptor >> 6]!;
        return this.#next("header", (single ? 0 : 1) + dictionary + size);
      }
      case "header": {
        yield { data: field };
        return this.#next("block", 3);
      }
      case "block": {
        yield { data: field };
        const header = field.readUIntLE(0, 3);
        this.#last = (header & 1) !== 0;
        const isRepeated = ((header >> 1) & 3) === 1;
        const size = isRepeated ? 1 : header >> 3;
        if (size > 0) return this.#content("content", size);
        return yield* this.#contentOver();
      }
      default: {
        yield { data: field };
        yield { end: true };
        return this.#next("magic", 4);
      }
    }
  }

  *#contentOver(): Generator<ZstdPiece, void, undefined> {
    if (this.#state === "skip") return this.#next("magic", 4);
    if (!this.#last) return this.#next("block", 3);
    if (this.#checksum) return this.#next("checksum", 4);
    yield { end: true };
    this.#next("magic", 4);
  }

  #next(state: State, bytes: number): void {
    this.#state = state;
    this.#field = Buffer.alloc(bytes);
    this.#fieldBytes = 0;
  }

  #content(state: State, bytes: number): void {
    this.#state = state;
    this.#left = bytes;
  }
}
