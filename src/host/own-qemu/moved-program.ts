/**
 * A position-independent static program, as one that lies at an address of its own: what its start-up code would do to itself in each process is
 * done in the file. Its memory stays the file's pages then, which processes share, and it lies in all of them where it was put.
 * ELF-64, little-endian, x86-64 (https://refspecs.linuxfoundation.org/elf/gabi4+/contents.html, https://gitlab.com/x86-psABIs/x86-64-ABI). Pure.
 */

const ELF = 0x7f454c46;
const TYPE = { at: 16, fixed: 2, movable: 3 };
const ENTRY_AT = 24;
const SEGMENTS_AT = 32;
const SEGMENT_BYTES_AT = 54;
const SEGMENT_COUNT_AT = 56;
const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const PT_INTERP = 3;
const DT_RELA = 7n;
const DT_RELASZ = 8n;
const DT_RELACOUNT = 0x6ffffff9n;
const RELA_BYTES = 24;
const R_X86_64_RELATIVE = 8n;

interface Segment {
  /** where its header is */
  readonly at: number;
  readonly type: number;
  readonly offset: number;
  readonly address: number;
  readonly fileBytes: number;
}

/** Bytes of a file by which {@link isMovable} tells. */
export const PROGRAM_HEAD_BYTES = 64;

/** Whether a file that begins so is a program that may lie anywhere. Pure. */
export function isMovable(head: Buffer): boolean {
  if (head.length < PROGRAM_HEAD_BYTES) return false;
  return head.readUInt32BE(0) === ELF && head.readUInt16LE(TYPE.at) === TYPE.movable;
}

/**
 * The program at `base` (bytes, a multiple of its pages). What it was given is not changed.
 * @returns undefined if it is none that can be put there: linked for a fixed address, or one that needs a loader, or damaged
 */
export function movedProgram(program: Buffer, base: number): Buffer | undefined {
  try {
    return moved(Buffer.from(program), base);
  } catch (error) {
    if (error instanceof RangeError) return undefined; // something points out of the file
    throw error;
  }
}

function moved(file: Buffer, base: number): Buffer | undefined {
  if (!isMovable(file)) return undefined;
  const segments = segmentsOf(file);
  const dynamic = segments.find(({ type }) => type === PT_DYNAMIC);
  if (dynamic === undefined || segments.some(({ type }) => type === PT_INTERP)) return undefined;
  const loaded = segments.filter(({ type }) => type === PT_LOAD);
  const placeOf = (address: number): number => {
    const segment = loaded.find((each) => address >= each.address && address < each.address + each.fileBytes);
    if (segment === undefined) throw new RangeError("an address that is not in the file");
    return address - segment.address + segment.offset;
  };
  relocate(file, dynamic, base, placeOf);
  file.writeUInt16LE(TYPE.fixed, TYPE.at);
  add(file, ENTRY_AT, base);
  // Only these: to all other addresses start-up code adds what it finds itself moved by.
  for (const { at } of loaded) {
    add(file, at + 16, base);
    add(file, at + 24, base);
  }
  return file;
}

function segmentsOf(file: Buffer): Segment[] {
  const table = Number(file.readBigUInt64LE(SEGMENTS_AT));
  const bytes = file.readUInt16LE(SEGMENT_BYTES_AT);
  return Array.from({ length: file.readUInt16LE(SEGMENT_COUNT_AT) }, (_, index) => {
    const at = table + index * bytes;
    return {
      at,
      type: file.readUInt32LE(at),
      offset: Number(file.readBigUInt64LE(at + 8)),
      address: Number(file.readBigUInt64LE(at + 16)),
      fileBytes: Number(file.readBigUInt64LE(at + 32)),
    };
  });
}

/** Writes what the relative relocations say, and takes them off the list: they come first in it, and others (functions chosen by the CPU) stay. */
function relocate(file: Buffer, dynamic: Segment, base: number, placeOf: (address: number) => number): void {
  const tags = new Map<bigint, number>();
  for (let at = dynamic.offset; at < dynamic.offset + dynamic.fileBytes; at += 16) {
    const tag = file.readBigUInt64LE(at);
    if (tag === 0n) break;
    tags.set(tag, at + 8);
  }
  const [list, size, count] = [DT_RELA, DT_RELASZ, DT_RELACOUNT].map((tag) => tags.get(tag));
  if (list === undefined || size === undefined || count === undefined) return; // start-up code does all of it
  const relative = Number(file.readBigUInt64LE(count));
  const first = placeOf(Number(file.readBigUInt64LE(list)));
  for (let at = first; at < first + relative * RELA_BYTES; at += RELA_BYTES) {
    if (file.readBigUInt64LE(at + 8) !== R_X86_64_RELATIVE)
      throw new RangeError("not the relocation that was announced");
    const to = placeOf(Number(file.readBigUInt64LE(at)));
    file.writeBigUInt64LE(file.readBigUInt64LE(at + 16) + BigInt(base), to);
  }
  add(file, list, relative * RELA_BYTES);
  add(file, size, -relative * RELA_BYTES);
  file.writeBigUInt64LE(0n, count);
}

function add(file: Buffer, at: number, value: number): void {
  file.writeBigUInt64LE(file.readBigUInt64LE(at) + BigInt(value), at);
}
