import { type BigIntStats, closeSync, fstatSync, openSync, readFileSync, readSync, statSync } from "node:fs";

const CHUNK_BYTES = 64 * 1024;
/** How often one looks again for files that belong together, while they are being changed. */
const MAX_LOOKS = 100;

/** So many bytes came and went before they could be read. */
export interface Missed {
  readonly missedBytes: number;
}

interface OpenFile {
  readonly descriptor: number;
  /** inode: a file that is open keeps it, whatever it is called by then */
  readonly inode: bigint;
  /** where it begins among all bytes of the log, if that is known */
  readonly offset: number | undefined;
  position: number;
}

/**
 * Reads a log that the monitor writes and rotates: `path` grows, becomes `path.1`, and a new `path` begins; `path.at`
 * says where that begins among all bytes of the log. Nothing is read twice, and what was rotated away in between is told.
 */
export class RotatedLog {
  readonly #path: string;
  readonly #buffer: Buffer = Buffer.allocUnsafe(CHUNK_BYTES);
  /** in the order of their age; the first one is being read */
  #files: readonly OpenFile[] = [];
  /** where the next byte is among all, if that is known */
  #at: number | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  /**
   * What has come since the last time (at first: all that is kept), oldest first, and where something is missing. A chunk
   * is valid until the next one.
   */
  *read(): Generator<Uint8Array | Missed> {
    for (;;) {
      // Looked for before the present file is read: then that one is complete, if another has taken its place.
      const next = this.#next();
      const [file] = this.#files;
      if (file) yield* this.#rest(file);
      if (next.length === 0) return;
      if (file) closeSync(file.descriptor);
      this.#files = next;
      const begin = next[0]?.offset;
      if (this.#at !== undefined && begin !== undefined && begin > this.#at)
        yield { missedBytes: begin - this.#at };
      this.#at = begin;
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
      if (file.offset !== undefined) this.#at = file.offset + file.position;
      yield this.#buffer.subarray(0, length);
    }
  }

  /** The files that follow the one that is being read. */
  #next(): readonly OpenFile[] {
    if (this.#files.length > 1) return this.#files.slice(1);
    const inode = this.#files[0]?.inode;
    const named = stat(this.#path)?.ino;
    if (named === undefined ? inode !== undefined : named === inode) return [];
    for (let looks = 1; ; looks++) {
      const files = this.#openBoth();
      // Rotated between the two? Then one may be missing. And the note comes after the file.
      const together = stat(`${this.#path}.1`)?.ino === files[0]?.inode;
      const noted = files[1] === undefined || files[1].offset !== undefined;
      if (together && (noted || looks >= MAX_LOOKS)) return newer(files, inode);
      newer(files, undefined).forEach((file) => {
        closeSync(file.descriptor);
      });
    }
  }

  #openBoth(): readonly [OpenFile | undefined, OpenFile | undefined] {
    const older = open(`${this.#path}.1`, () => undefined);
    const current = open(this.#path, (inode) => this.#offsetOf(inode));
    if (older === undefined || current?.offset === undefined) return [older, current];
    return [{ ...older, offset: current.offset - fstatSync(older.descriptor).size }, current];
  }

  /** Where the file of that inode begins, if it is the one that was noted last. */
  #offsetOf(inode: bigint): number | undefined {
    let note: string;
    try {
      note = readFileSync(`${this.#path}.at`, "latin1");
    } catch {
      return 0; // no other file before this one
    }
    const [, offset, noted] = /^(\d{1,15}) (\d+)\n$/.exec(note) ?? [];
    return noted !== undefined && BigInt(noted) === inode ? Number(offset) : undefined;
  }
}

/** Those that are there, but for the one that is known. */
function newer(files: readonly (OpenFile | undefined)[], known: bigint | undefined): readonly OpenFile[] {
  const there = files.filter((file) => file !== undefined);
  for (const file of there) if (file.inode === known) closeSync(file.descriptor);
  return there.filter((file) => file.inode !== known);
}

function open(path: string, offsetOf: (inode: bigint) => number | undefined): OpenFile | undefined {
  let descriptor: number;
  try {
    descriptor = openSync(path, "r");
  } catch {
    return undefined; // not written yet, or removed
  }
  const { ino } = fstatSync(descriptor, { bigint: true });
  return { descriptor, inode: ino, offset: offsetOf(ino), position: 0 };
}

function stat(path: string): BigIntStats | undefined {
  return statSync(path, { bigint: true, throwIfNoEntry: false });
}
