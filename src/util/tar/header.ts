import { SmolVMError } from "../../errors.ts";

/*
 * A header of the tar format (https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html, "ustar Interchange Format";
 * GNU's: https://www.gnu.org/software/tar/manual/html_node/Standard.html), one block of 512 bytes:
 *
 *    0     100   108  116  124   136    148    156    157       257    329     337     345
 *   +------+-----+----+----+-----+------+------+------+---------+------+-------+-------+----------------+
 *   | name |mode |uid |gid |size |mtime |check |type  |link name|magic | major | minor | prefix (POSIX) |
 *   +------+-----+----+----+-----+------+------+------+---------+------+-------+-------+----------------+
 */

export const BLOCK_BYTES = 512;
const NAME_BYTES = 100;

/** What one header says. Names are bytes: Linux does not promise UTF-8. */
export interface TarHeader {
  readonly name: Uint8Array;
  /** permission bits */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** bytes of content */
  readonly size: number;
  /** seconds since 1970 */
  readonly mtime: number;
  /** the type flag, "0" for the old NUL */
  readonly type: string;
  readonly linkName: Uint8Array;
  /** of a device */
  readonly major?: number;
  readonly minor?: number;
}

/** GNU's: what it writes every tar reads. */
const MAGIC = "ustar  \0";

/** The error for an archive that cannot be read. */
export function damaged(
  what: string,
  hint = "Make it again, and look at what is in it: tar -tvf FILE",
): SmolVMError {
  return new SmolVMError("FILE_FAILED", `the archive is damaged: ${what}`, { hint });
}

/** The content's last block is filled up with so many bytes. Pure. */
export function padding(size: number): number {
  return (BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES;
}

/**
 * One header block, of names that fit. Pure. Numbers that are too large for octal digits are written as GNU does (base 256).
 */
function encodeHeader(header: TarHeader): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES);
  const bytes = (at: number, value: Uint8Array): void => {
    block.set(value, at);
  };
  const number = (at: number, length: number, value: number): void => {
    if (value < 8 ** (length - 1)) {
      block.write(`${value.toString(8).padStart(length - 1, "0")}\0`, at, "latin1");
      return;
    }
    block.writeUIntBE(value, at + length - 6, 6);
    block[at] = 0x80;
  };
  bytes(0, header.name);
  number(100, 8, header.mode);
  number(108, 8, header.uid);
  number(116, 8, header.gid);
  number(124, 12, header.size);
  number(136, 12, header.mtime);
  block.write(header.type, 156, "latin1");
  bytes(157, header.linkName);
  block.write(MAGIC, 257, "latin1");
  if (header.major !== undefined) number(329, 8, header.major);
  if (header.minor !== undefined) number(337, 8, header.minor);
  block.write(`${checksum(block).toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}

/** An entry's header, before it GNU's entries for names that are too long for one. Pure. */
export function encodeEntry(header: TarHeader): Buffer {
  const long = (type: string, name: Uint8Array): Buffer[] => {
    if (name.length <= NAME_BYTES) return [];
    const size = name.length + 1;
    const own = { ...header, name: Buffer.from("././@LongLink"), linkName: Buffer.alloc(0), type, size };
    return [
      encodeHeader({ ...own, mode: 0, uid: 0, gid: 0, mtime: 0 }),
      Buffer.concat([name, Buffer.alloc(1 + padding(size))]),
    ];
  };
  const cut = (name: Uint8Array): Uint8Array => name.subarray(0, NAME_BYTES);
  return Buffer.concat([
    ...long("K", header.linkName),
    ...long("L", header.name),
    encodeHeader({ ...header, name: cut(header.name), linkName: cut(header.linkName) }),
  ]);
}

/** Reads a header block; undefined for one of zeros, which ends an archive. Pure. @throws SmolVMError FILE_FAILED */
export function decodeHeader(block: Buffer): TarHeader | undefined {
  if (block.every((byte) => byte === 0)) return undefined;
  const wanted = decodeNumber(block.subarray(148, 156), "checksum");
  if (checksum(block) !== wanted && checksum(block, true) !== wanted) {
    throw damaged("a header's checksum is wrong");
  }
  const magic = block.toString("latin1", 257, 265);
  const name = text(block, 0, NAME_BYTES);
  const prefix = magic.startsWith("ustar\0") ? text(block, 345, 155) : Buffer.alloc(0);
  return {
    name: prefix.length === 0 ? name : Buffer.concat([prefix, Buffer.from("/"), name]),
    mode: decodeNumber(block.subarray(100, 108), "mode") & 0o7777,
    uid: decodeNumber(block.subarray(108, 116), "uid"),
    gid: decodeNumber(block.subarray(116, 124), "gid"),
    size: decodeNumber(block.subarray(124, 136), "size"),
    mtime: decodeNumber(block.subarray(136, 148), "time"),
    type: block[156] === 0 ? "0" : String.fromCharCode(block[156]!),
    linkName: text(block, 157, NAME_BYTES),
    ...(isDevice(block)
      ? {
          major: decodeNumber(block.subarray(329, 337), "device"),
          minor: decodeNumber(block.subarray(337, 345), "device"),
        }
      : {}),
  };
}

function isDevice(block: Buffer): boolean {
  return block[156] === 0x33 || block[156] === 0x34;
}

/** The sum of all bytes, the checksum's own counted as spaces; old programs took them for signed ones. */
function checksum(block: Buffer, signed = false): number {
  let sum = 8 * 0x20;
  for (let at = 0; at < BLOCK_BYTES; at++) {
    if (at >= 148 && at < 156) continue;
    sum += signed ? block.readInt8(at) : block[at]!;
  }
  return sum;
}

function text(block: Buffer, at: number, length: number): Buffer {
  const field = block.subarray(at, at + length);
  const end = field.indexOf(0);
  return Buffer.from(end < 0 ? field : field.subarray(0, end));
}

/** Octal digits, or GNU's base 256. A time before 1970 counts as 1970. */
export function decodeNumber(field: Buffer, what: string): number {
  if ((field[0]! & 0x80) !== 0) {
    if (field[0] === 0xff) return 0;
    let value = field[0]! & 0x7f;
    for (const byte of field.subarray(1)) {
      value = value * 256 + byte;
      if (value > Number.MAX_SAFE_INTEGER) throw damaged(`a header's ${what} is too large`);
    }
    return value;
  }
  const digits = field
    .toString("latin1")
    .replace(/^ +/, "")
    .replace(/[ \0].*$/s, "");
  if (!/^[0-7]*$/.test(digits)) throw damaged(`a header's ${what} is no number`);
  return digits === "" ? 0 : Number.parseInt(digits, 8);
}
