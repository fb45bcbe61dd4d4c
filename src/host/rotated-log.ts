import { type BigIntStats, closeSync, fstatSync, openSync, readSync, statSync } from "node:fs";

const CHUNK_BYTES = 64 * 1024;

interface OpenFile {
  readonly descriptor: number;
  /** inode: a file that is open keeps it, whatever it is called by then */
  readonly inode: bigint;
  position: number;
}

/**
 * Reads a log that the monitor writes and rotates: `path` grows, becomes `path.1`, and a new `path` begins.
 * Nothing is read twice; what was rotated away twice between two reads is lost.
 */
export class RotatedLog {
  readonly #path: string;
  readonly #buffer: Buffer = Buffer.allocUnsafe(CHUNK_BYTES);
  /** in the order of their age; the first one is being read */
  #files: readonly OpenFile[] = [];

  constructor(path: string) {
    this.#path = path;
  }

  /** What has come since the last time (at first: all that is kept), oldest first. A chunk is valid until the next one. */
  *read(): Generator<Uint8Array> {
    for (;;) {
      // Looked for before the present file is read: then that one is complete, if another has taken its place.
      const next = this.#next();
      const [file] = this.#files;
      if (file) yield* this.#rest(file);
      if (next.length === 0) return;
      if (file) closeSync(file.descriptor);
      this.#files = next;
    }
  }

  close(): void {
    for (const file of this.#files) closeSync(file.descriptor);
    this.#files = [];
  }

  *#rest(file: OpenFile): Generator<Uint8Array> {
    // Where it cannot be renamed the monitor begins the same file anew.
    if (fstatSync(file.descriptor).size < file.position) file.position = 0;
    for (;;) {
      const length = readSync(file.descriptor, this.#buffer, 0, CHUNK_BYTES, file.position);
      if (length === 0) return;
      file.position += length;
      yield this.#buffer.subarray(0, length);
    }
  }

  /** The files that follow the one that is being read. */
  #next(): readonly OpenFile[] {
    if (this.#files.length > 1) return this.#files.slice(1);
    const inode = this.#files[0]?.inode;
    const named = stat(this.#path)?.ino;
    if (named === undefined ? inode !== undefined : named === inode) return [];
    for (;;) {
      const files = [open(`${this.#path}.1`), open(this.#path)] as const;
      // Rotated between the two? Then one may be missing.
      if (stat(`${this.#path}.1`)?.ino === files[0]?.inode) return newer(files, inode);
      newer(files, undefined).forEach((file) => {
        closeSync(file.descriptor);
      });
    }
  }
}

/** Those that are there, but for the one that is known. */
function newer(files: readonly (OpenFile | undefined)[], known: bigint | undefined): readonly OpenFile[] {
  const there = files.filter((file) => file !== undefined);
  for (const file of there) if (file.inode === known) closeSync(file.descriptor);
  return there.filter((file) => file.inode !== known);
}

function open(path: string): OpenFile | undefined {
  let descriptor: number;
  try {
    descriptor = openSync(path, "r");
  } catch {
    return undefined; // not written yet, or removed
  }
  return { descriptor, inode: fstatSync(descriptor, { bigint: true }).ino, position: 0 };
}

function stat(path: string): BigIntStats | undefined {
  return statSync(path, { bigint: true, throwIfNoEntry: false });
}
