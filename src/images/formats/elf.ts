import { SmolVMError } from "../../errors.ts";

/**
 * As much of ELF-64 little-endian as kernels and modules need (https://refspecs.linuxfoundation.org/elf/gabi4+/contents.html).
 * Pure; every offset is checked, because the files may be a user's own.
 */

const HEADER_BYTES = 64;
const SECTION_HEADER_BYTES = 64;
const PROGRAM_HEADER_BYTES = 56;
const PT_NOTE = 4;

/** A section or segment: where its bytes are in the file. */
interface Range {
  readonly offset: number;
  readonly size: number;
}

/**
 * The bytes of the section of that name, or undefined if there is none.
 * @throws SmolVMError IMAGE_INVALID
 */
export function elfSection(file: Uint8Array, name: string): Uint8Array | undefined {
  const view = elfView(file);
  const table = offset64(view, 40);
  const count = view.getUint16(60, true);
  const header = (index: number): Range & { nameAt: number } => {
    const at = table + index * SECTION_HEADER_BYTES;
    if (at + SECTION_HEADER_BYTES > file.length) throw damaged("a section header is cut off");
    return {
      nameAt: view.getUint32(at, true),
      offset: offset64(view, at + 24),
      size: offset64(view, at + 32),
    };
  };
  if (count === 0) return undefined;
  const names = slice(file, header(view.getUint16(62, true)));
  for (let index = 0; index < count; index++) {
    const section = header(index);
    if (cString(names, section.nameAt) === name) return slice(file, section);
  }
  return undefined;
}

/**
 * True if a vmlinux carries a note of that owner and type, e.g. ("Xen", 18): the PVH entry point that lets a VMM start
 * an uncompressed kernel directly.
 * @throws SmolVMError IMAGE_INVALID
 */
export function hasElfNote(file: Uint8Array, owner: string, type: number): boolean {
  const view = elfView(file);
  const table = offset64(view, 32);
  const count = view.getUint16(56, true);
  for (let index = 0; index < count; index++) {
    const at = table + index * PROGRAM_HEADER_BYTES;
    if (at + PROGRAM_HEADER_BYTES > file.length) throw damaged("a program header is cut off");
    if (view.getUint32(at, true) !== PT_NOTE) continue;
    const notes = slice(file, { offset: offset64(view, at + 8), size: offset64(view, at + 32) });
    if (notesInclude(notes, owner, type)) return true;
  }
  return false;
}

function notesInclude(notes: Uint8Array, owner: string, type: number): boolean {
  const view = new DataView(notes.buffer, notes.byteOffset, notes.byteLength);
  const align4 = (n: number): number => Math.ceil(n / 4) * 4;
  for (let at = 0; at + 12 <= notes.length; ) {
    const nameSize = view.getUint32(at, true);
    const dataSize = view.getUint32(at + 4, true);
    if (view.getUint32(at + 8, true) === type && cString(notes, at + 12) === owner) return true;
    at += 12 + align4(nameSize) + align4(dataSize);
  }
  return false;
}

/** The NUL-terminated strings of a section such as .modinfo. Pure. */
export function cStrings(bytes: Uint8Array): string[] {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    .toString("latin1")
    .split("\0")
    .filter((text) => text !== "");
}

function elfView(file: Uint8Array): DataView {
  const elf64Little = [0x7f, 0x45, 0x4c, 0x46, 2, 1];
  if (file.length < HEADER_BYTES || !elf64Little.every((byte, i) => file[i] === byte)) {
    throw damaged("it is not a 64-bit little-endian ELF file");
  }
  return new DataView(file.buffer, file.byteOffset, file.byteLength);
}

function offset64(view: DataView, at: number): number {
  return Number(view.getBigUint64(at, true)); // beyond 2^53 it is beyond every file as well
}

function slice(file: Uint8Array, range: Range): Uint8Array {
  if (range.offset + range.size > file.length) throw damaged("a section lies outside the file");
  return file.subarray(range.offset, range.offset + range.size);
}

function cString(bytes: Uint8Array, at: number): string {
  const end = bytes.indexOf(0, at);
  return Buffer.from(bytes.subarray(at, end < 0 ? bytes.length : end)).toString("latin1");
}

function damaged(what: string): SmolVMError {
  return new SmolVMError("IMAGE_INVALID", `damaged ELF file: ${what}`, { hint: "Get the file again." });
}
