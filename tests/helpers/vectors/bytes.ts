/**
 * Builds the bytes of golden vectors without any of the code under test: hex strings and a few one-line functions that
 * follow PROTOCOL.md. Everything here returns hex.
 */

/** Hex with spaces taken out. */
export function hex(...parts: string[]): string {
  const joined = parts.join("").replaceAll(/\s+/g, "");
  if (!/^([0-9a-f]{2})*$/.test(joined)) throw new Error(`not hex: ${joined}`);
  return joined;
}

/** The bytes of a text in UTF-8. */
export function text(value: string): string {
  return Buffer.from(value, "utf8").toString("hex");
}

/** A number in `bytes` little-endian bytes. */
export function le(value: number, bytes: number): string {
  const buffer = Buffer.alloc(bytes);
  buffer.writeUIntLE(value, 0, bytes);
  return buffer.toString("hex");
}

/** A varint. */
export function varint(value: number | bigint): string {
  let rest = BigInt(value);
  let out = "";
  do {
    const bits = Number(rest & 127n);
    rest >>= 7n;
    out += le(rest > 0n ? bits | 128 : bits, 1);
  } while (rest > 0n);
  return out;
}

/** A varint field of a message. */
export function number(field: number, value: number | bigint): string {
  return varint(BigInt(field) << 3n) + varint(value);
}

/** A length-delimited field of a message, its content in hex. */
export function bytes(field: number, content: string): string {
  return varint((BigInt(field) << 3n) | 2n) + varint(hex(content).length / 2) + hex(content);
}

export const TYPE = {
  HELLO: 1,
  HELLO_ACK: 2,
  OPEN: 3,
  OPENED: 4,
  DATA: 5,
  WINDOW: 6,
  END: 7,
  CONTROL: 8,
  RESULT: 9,
  RESET: 10,
  GOODBYE: 11,
  PING: 12,
  PONG: 13,
  SUSPEND: 14,
  SWITCH: 15,
} as const;
export type TypeName = keyof typeof TYPE;

/** A header alone, with any values. */
export function header(length: number, stream: number, type: number, flags = 0, reserved = 0): string {
  return le(length, 4) + le(stream, 4) + le(type, 1) + le(flags, 1) + le(reserved, 2);
}

/** A frame with its payload in hex. */
export function frame(type: TypeName, stream: number, payload = "", flags = 0): string {
  return header(hex(payload).length / 2, stream, TYPE[type], flags) + hex(payload);
}

/** A record: a varint length and its content in hex. */
export function record(content: string): string {
  return varint(hex(content).length / 2) + hex(content);
}

/** MAGIC, as PROTOCOL.md draws it. */
export const MAGIC: string = `ffffffff${text("smolvm-agent")}`;
