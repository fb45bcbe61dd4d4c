import { closeSync, existsSync, lstatSync, openSync, readlinkSync, readSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import type { SystemFile } from "./view.ts";

/** Where distributions have programs, libraries and their data; on most, all but the first are links into it. */
const ROOTS = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];
/** The linker's index, and the choice among packages that offer the same file. */
const INDEXES = ["/etc/ld.so.cache", "/etc/alternatives"];
/** Distributions that have everything in one tree. */
const STORES = ["/nix/store", "/gnu/store"];
/** What lies beside a program's directory where it was installed to a place of its own. */
const BESIDE = ["lib", "lib64", "libexec", "share"];

/**
 * What a program and its libraries need of the system: nothing of it holds anything of a user's. One without libraries needs no more than
 * itself and what lies beside it.
 */
export function systemFiles(program: string): SystemFile[] {
  const own = ownTrees(realpathSync.native(program));
  if (own.length > 0 && isStatic(program)) return own.flatMap(systemFile);
  return [...ROOTS, ...INDEXES, ...STORES, ...own].flatMap(systemFile);
}

/** Bytes of a program that tell whether it has an interpreter, the dynamic linker: its program headers are at its start. */
const HEAD_BYTES = 4096;
/** PT_INTERP (elf(5)) */
const INTERPRETER = 3;

/** Whether a program is an ELF file that runs without libraries. */
export function isStatic(program: string): boolean {
  const head = Buffer.alloc(HEAD_BYTES);
  const fd = openSync(program, "r");
  try {
    readSync(fd, head, 0, HEAD_BYTES, 0);
  } finally {
    closeSync(fd);
  }
  // 64-bit, little-endian: e_phoff, e_phentsize, e_phnum
  if (head.readUInt32BE(0) !== 0x7f454c46) return false;
  const [at, size, count] = [Number(head.readBigUInt64LE(32)), head.readUInt16LE(54), head.readUInt16LE(56)];
  if (at + size * count > HEAD_BYTES) return false;
  return !Array.from({ length: count }, (_, n) => head.readUInt32LE(at + n * size)).includes(INTERPRETER);
}

/** A program outside of the system's directories: itself, and the data beside it. */
function ownTrees(program: string): string[] {
  if ([...ROOTS, ...STORES].some((root) => program.startsWith(`${root}/`))) return [];
  const directory = dirname(program);
  if (!directory.endsWith("/bin")) return [program];
  return [directory, ...BESIDE.map((name) => join(dirname(directory), name)).filter(existsSync)];
}

function systemFile(path: string): SystemFile[] {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return [];
  return [
    stat.isSymbolicLink() ? { kind: "link", path, target: readlinkSync(path) } : { kind: "tree", path },
  ];
}
