import { violation } from "./violation.ts";

/*
 * The subset of the protobuf wire format that the protocol uses (PROTOCOL.md, section 3;
 * https://protobuf.dev/programming-guides/encoding/): a message is a sequence of
 *
 *   tag = varint(field << 3 | wire type)   wire type 0: varint   wire type 2: varint length, then that many bytes
 */

export const VARINT = 0;
export const LENGTH_DELIMITED = 2;

const MAX_FIELD = 2 ** 29 - 1;
const MAX_VARINT_BYTES = 10;

/** Reads one message out of a piece of memory. Every method throws AGENT_PROTOCOL on bytes that break the format. */
export class WireReader {
  readonly #bytes: Uint8Array;
  #at: number;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#at = 0;
  }

  get done(): boolean {
    return this.#at >= this.#bytes.length;
  }

  /** The next field's tag: `field << 3 | wireType`, as an exact number (fields go up to 2^29 - 1). */
  tag(): number {
    const tag = this.varint();
    const field = Math.floor(tag / 8);
    const wireType = tag % 8;
    if (field < 1 || field > MAX_FIELD) throw violation(`field number ${field}`);
    if (wireType !== VARINT && wireType !== LENGTH_DELIMITED) throw violation(`wire type ${wireType}`);
    return tag;
  }

  /** A varint of at most 2^53 - 1. */
  varint(): number {
    const first = this.#bytes[this.#at];
    if (first === undefined) throw violation("a message that ends inside a varint");
    if (first < 0x80) {
      this.#at++;
      return first;
    }
    let value = 0;
    let scale = 1;
    for (let n = 0; n < MAX_VARINT_BYTES; n++) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) throw violation("a message that ends inside a varint");
      const bits = byte & 0x7f;
      // Beyond 2^53 the sum is no longer exact, but it never gets smaller: one comparison at the end is enough.
      value += bits * scale;
      scale *= 128;
      if (byte < 0x80) {
        if (value > Number.MAX_SAFE_INTEGER) throw violation("a number above 2^53 - 1");
        return value;
      }
    }
    throw violation("a varint of more than 10 bytes");
  }

  /** A length-delimited value, as a view on the memory that was given. */
  bytes(): Uint8Array {
    const length = this.varint();
    if (length > this.#bytes.length - this.#at) throw violation("a field that is longer than its message");
    const start = this.#at;
    this.#at += length;
    return this.#bytes.subarray(start, this.#at);
  }

  /** A varint of any size up to 2^64 - 1, told zero from non-zero. */
  bool(): boolean {
    let any = 0;
    for (let n = 0; n < MAX_VARINT_BYTES; n++) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) throw violation("a message that ends inside a varint");
      any |= byte & 0x7f;
      if (byte < 0x80) {
        // The tenth byte holds bit 63 alone.
        if (n === MAX_VARINT_BYTES - 1 && byte > 1) throw violation("a number above 2^64 - 1");
        return any !== 0;
      }
    }
    throw violation("a varint of more than 10 bytes");
  }

  /** Skips the value of an unknown field. */
  skip(wireType: number): void {
    if (wireType === LENGTH_DELIMITED) this.bytes();
    else this.bool();
  }
}

/** Bytes that `value` takes as a varint. */
export function varintLength(value: number): number {
  let length = 1;
  for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) length++;
  return length;
}

/** Writes `value` (0 to 2^53 - 1) as a varint at `offset` and returns the offset after it. */
export function putVarint(target: Uint8Array, value: number, offset: number): number {
  let at = offset;
  let rest = value;
  while (rest >= 128) {
    target[at++] = (rest % 128) | 0x80;
    rest = Math.floor(rest / 128);
  }
  target[at++] = rest;
  return at;
}

/** Grows as needed; {@link finish} gives the bytes that were written. */
export class WireWriter {
  #buffer: Buffer;
  #at = 0;

  /** @param sizeHint expected size in bytes */
  constructor(sizeHint = 128) {
    this.#buffer = Buffer.allocUnsafe(sizeHint);
  }

  #reserve(bytes: number): void {
    const needed = this.#at + bytes;
    if (needed <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2));
    this.#buffer.copy(grown, 0, 0, this.#at);
    this.#buffer = grown;
  }

  /** A field of wire type 0. */
  number(field: number, value: number): void {
    this.#reserve(2 * MAX_VARINT_BYTES);
    this.#at = putVarint(this.#buffer, field * 8 + VARINT, this.#at);
    this.#at = putVarint(this.#buffer, value, this.#at);
  }

  /** A field of wire type 2. */
  bytes(field: number, value: Uint8Array): void {
    this.#reserve(2 * MAX_VARINT_BYTES + value.length);
    this.#at = putVarint(this.#buffer, field * 8 + LENGTH_DELIMITED, this.#at);
    this.#at = putVarint(this.#buffer, value.length, this.#at);
    this.#buffer.set(value, this.#at);
    this.#at += value.length;
  }

  /** The message; the writer must not be used afterwards. */
  finish(): Buffer {
    return this.#buffer.subarray(0, this.#at);
  }
}
