/**
 * As much of D-Bus's wire format as a talk with systemd needs (https://dbus.freedesktop.org/doc/dbus-specification.html):
 *
 *   byte    'l' (little-endian), type, flags, version (1)
 *   uint32  length of the body, serial
 *   array   of (code, variant): the header's fields
 *   ...     padding to 8 bytes, then the body
 *
 * Every value lies at a multiple of its size, counted from the message's start. All is little-endian: so are the processors that we are
 * built for, and both ends are on this machine.
 */

/** A value in a call's body, with its type: D-Bus's letters. */
export type BusValue =
  | { readonly type: "s"; readonly value: string }
  /** uint64 */
  | { readonly type: "t"; readonly value: bigint }
  /** a list of uint32 */
  | { readonly type: "au"; readonly value: readonly number[] };

export interface BusCall {
  readonly serial: number;
  readonly path: string;
  readonly interface: string;
  readonly member: string;
  /** types of the body; absent: it has none */
  readonly signature?: string;
  readonly body?: Uint8Array;
}

/** A message that came: what of it matters to us. */
export interface BusMessage {
  readonly type: "return" | "error" | "signal" | "other";
  /** of the call that it answers */
  readonly replyTo: number | undefined;
  /** a signal's */
  readonly member: string | undefined;
  /** an error's, e.g. "org.freedesktop.systemd1.UnitExists" */
  readonly errorName: string | undefined;
  /** the texts and paths in its body, in their order, as far as the body begins with such and with numbers */
  readonly texts: readonly string[];
}

/** The object that a manager is. */
export const SYSTEMD_PATH = "/org/freedesktop/systemd1";

/** More than any answer of systemd's to what we ask. */
const MAX_MESSAGE_BYTES = 1024 * 1024;
const FIXED_HEADER_BYTES = 16;
const TYPES: Readonly<Record<number, BusMessage["type"]>> = { 2: "return", 3: "error", 4: "signal" };
const FIELD = { path: 1, interface: 2, member: 3, errorName: 4, replyTo: 5, signature: 8 } as const;

/** Bytes with D-Bus's alignment. The body of a message begins at a multiple of 8, so it can be written on its own. */
export class BusWriter {
  #bytes: number[] = [];

  /** The bytes so far. */
  done(): Uint8Array {
    return Uint8Array.from(this.#bytes);
  }

  align(size: number): this {
    while (this.#bytes.length % size !== 0) this.#bytes.push(0);
    return this;
  }

  byte(value: number): this {
    this.#bytes.push(value);
    return this;
  }

  uint32(value: number): this {
    return this.align(4).#number(BigInt(value), 4);
  }

  /** A text, or a path. */
  text(value: string): this {
    const bytes = Buffer.from(value);
    this.uint32(bytes.length).#bytes.push(...bytes, 0);
    return this;
  }

  /** The letters of types. */
  signature(value: string): this {
    this.#bytes.push(value.length, ...Buffer.from(value), 0);
    return this;
  }

  /** A list whose entries lie at multiples of `size`: its length is counted from its first entry. */
  list(size: number, write: () => void): this {
    this.uint32(0);
    const length = this.#bytes.length - 4;
    this.align(size);
    const from = this.#bytes.length;
    write();
    const bytes = new Uint8Array(new Uint32Array([this.#bytes.length - from]).buffer);
    bytes.forEach((byte, n) => {
      this.#bytes[length + n] = byte;
    });
    return this;
  }

  /** A value that says its own type. */
  variant({ type, value }: BusValue): this {
    this.signature(type);
    if (type === "s") return this.text(value);
    if (type === "t") return this.align(8).#number(value, 8);
    return this.list(4, () => {
      for (const number of value) this.uint32(number);
    });
  }

  #number(value: bigint, bytes: number): this {
    for (let n = 0; n < bytes; n++) this.#bytes.push(Number((value >> BigInt(8 * n)) & 0xffn));
    return this;
  }
}

/** A call's bytes. Pure. */
export function encodeCall({ serial, path, interface: name, member, signature, body }: BusCall): Uint8Array {
  const header = new BusWriter();
  header.byte("l".charCodeAt(0)).byte(1).byte(0).byte(1);
  header.uint32(body?.length ?? 0).uint32(serial);
  const field = (code: number, type: string, value: string): void => {
    header.align(8).byte(code).signature(type);
    if (type === "g") header.signature(value);
    else header.text(value);
  };
  header.list(8, () => {
    field(FIELD.path, "o", path);
    field(FIELD.interface, "s", name);
    field(FIELD.member, "s", member);
    if (signature !== undefined) field(FIELD.signature, "g", signature);
  });
  return Buffer.concat([header.align(8).done(), body ?? new Uint8Array()]);
}

/**
 * The first message of what has come, and its length; undefined: it is not complete. Pure.
 * @throws RangeError for what is no message, or one longer than systemd sends
 */
export function decodeMessage(
  bytes: Uint8Array,
): { readonly message: BusMessage; readonly length: number } | undefined {
  if (bytes.length < FIXED_HEADER_BYTES) return undefined;
  const reader = new BusReader(bytes);
  const type = TYPES[reader.at(1)] ?? "other";
  reader.skip(4);
  const bodyLength = reader.uint32();
  reader.skip(4); // its serial
  const fieldsEnd = FIXED_HEADER_BYTES + reader.uint32();
  const bodyAt = align(fieldsEnd, 8);
  const length = bodyAt + bodyLength;
  if (length > MAX_MESSAGE_BYTES) throw new RangeError(`a message of ${length} bytes`);
  if (bytes.length < length) return undefined;
  const fields = new Map<number, string | number>();
  while (reader.position < fieldsEnd) {
    reader.align(8);
    const code = reader.byte();
    const value = reader.simple(reader.signature());
    if (value === undefined) break; // what we know of comes first, or is of such types
    fields.set(code, value);
  }
  const text = (code: number): string | undefined => {
    const value = fields.get(code);
    return typeof value === "string" ? value : undefined;
  };
  const replyTo = fields.get(FIELD.replyTo);
  return {
    length,
    message: {
      type,
      replyTo: typeof replyTo === "number" ? replyTo : undefined,
      member: text(FIELD.member),
      errorName: text(FIELD.errorName),
      texts: new BusReader(bytes.subarray(bodyAt, length)).texts(text(FIELD.signature) ?? ""),
    },
  };
}

function align(position: number, size: number): number {
  return Math.ceil(position / size) * size;
}

class BusReader {
  readonly #view: DataView;
  position = 0;

  constructor(bytes: Uint8Array) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  at(position: number): number {
    return this.#view.getUint8(position);
  }

  skip(bytes: number): void {
    this.position += bytes;
  }

  align(size: number): void {
    this.position = align(this.position, size);
  }

  byte(): number {
    return this.#view.getUint8(this.position++);
  }

  uint32(): number {
    this.align(4);
    const value = this.#view.getUint32(this.position, true);
    this.position += 4;
    return value;
  }

  signature(): string {
    return this.#chars(this.byte());
  }

  /** A text, a path, a signature or a number; undefined: something else. */
  simple(type: string): string | number | undefined {
    if (type === "s" || type === "o") return this.#chars(this.uint32());
    if (type === "g") return this.signature();
    return type === "u" ? this.uint32() : undefined;
  }

  /** The texts at the beginning of a body of such types; a variant counts as what is in it. */
  texts(signature: string): string[] {
    const found: string[] = [];
    for (const type of signature) {
      const value = this.simple(type === "v" ? this.signature() : type);
      if (value === undefined) break;
      if (typeof value === "string") found.push(value);
    }
    return found;
  }

  #chars(length: number): string {
    const from = this.#view.byteOffset + this.position;
    if (this.position + length >= this.#view.byteLength)
      throw new RangeError("a text that leads out of its message");
    this.position += length + 1; // a NUL follows
    return Buffer.from(this.#view.buffer as ArrayBuffer, from, length).toString();
  }
}
