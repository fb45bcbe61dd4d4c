import { violation } from "./violation.ts";
import { putVarint, varintLength } from "./wire.ts";

/** Longest record of a list or tree, in bytes. */
const MAX_RECORD = 65_536;
/** A length up to MAX_RECORD takes at most this many bytes as a varint. */
const MAX_LENGTH_BYTES = 3;

/**
 * Cuts a byte stream into records, each preceded by its length as a varint (PROTOCOL.md: process_list, list, trees), whatever
 * pieces it comes in. Holds at most one record.
 */
export class RecordDecoder {
  readonly #onRecord: (record: Buffer) => void;
  #length = 0;
  #lengthBytes = 0;
  #inRecord = false;
  #partial: Buffer | undefined;
  #partialBytes = 0;

  /** @param onRecord gets each record as a view on memory that may be reused; may throw, which ends the decoding */
  constructor(onRecord: (record: Buffer) => void) {
    this.#onRecord = onRecord;
  }

  /** True between two records. */
  get atBoundary(): boolean {
    return !this.#inRecord && this.#lengthBytes === 0;
  }

  /** @throws SmolVMError AGENT_PROTOCOL for a record that is too long */
  push(piece: Buffer): void {
    let at = 0;
    while (at < piece.length) {
      if (!this.#inRecord) {
        const byte = piece[at++]!;
        this.#length += (byte & 0x7f) * 128 ** this.#lengthBytes;
        this.#lengthBytes++;
        if (byte >= 0x80) {
          if (this.#lengthBytes === MAX_LENGTH_BYTES)
            throw violation("a record's length of more than 3 bytes");
          continue;
        }
        if (this.#length > MAX_RECORD)
          throw violation(`a record of ${this.#length} bytes (at most ${MAX_RECORD})`);
        this.#inRecord = true;
        if (this.#length === 0) this.#done(piece.subarray(at, at));
        continue;
      }
      const missing = this.#length - this.#partialBytes;
      const take = Math.min(missing, piece.length - at);
      const part = piece.subarray(at, at + take);
      at += take;
      if (take === this.#length) {
        this.#done(part);
        continue;
      }
      this.#partial ??= Buffer.allocUnsafe(this.#length);
      part.copy(this.#partial, this.#partialBytes);
      this.#partialBytes += take;
      if (take === missing) this.#done(this.#partial);
    }
  }

  /** The stream has ended. @throws SmolVMError AGENT_PROTOCOL if that is inside a record */
  finish(): void {
    if (!this.atBoundary) throw violation("content that ends inside a record");
  }

  #done(record: Buffer): void {
    this.#length = 0;
    this.#lengthBytes = 0;
    this.#inRecord = false;
    this.#partial = undefined;
    this.#partialBytes = 0;
    this.#onRecord(record);
  }
}

/** A record with its length before it. */
export function encodeRecord(record: Uint8Array): Buffer {
  const prefix = varintLength(record.length);
  const bytes = Buffer.allocUnsafe(prefix + record.length);
  putVarint(bytes, record.length, 0);
  bytes.set(record, prefix);
  return bytes;
}
