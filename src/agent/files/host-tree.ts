import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  futimesSync,
  mkdirSync,
  openSync,
  symlinkSync,
  utimesSync,
  writeSync,
} from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import type { SmolVMError } from "../../errors.ts";
import { HAS_MODES } from "../../util/host-files.ts";
import { TimeSlice } from "../../util/time-slice.ts";
import { unsafe } from "./entry-path.ts";
import { hostError } from "./host-error.ts";
import type { TreeStep } from "./tree-policy.ts";

/** Content of a large file is gathered up to this before it is written, in bytes. */
const GATHER_BYTES = 1024 * 1024;

/** New, exclusively ours, never through a symlink; not on Windows, which has no such flag and makes no such links. */
const CREATE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | (constants.O_NOFOLLOW ?? 0);

interface OpenFile {
  readonly path: Uint8Array;
  readonly mode: number;
  readonly mtime: number;
  /** made when there is more content than the first piece */
  handle: FileHandle | undefined;
  pieces: Uint8Array[];
  gathered: number;
}

interface Directory {
  readonly path: Uint8Array;
  readonly mode: number;
  readonly mtime: number;
}

/** An entry that was not written, and why. */
export interface SkippedEntry {
  readonly path: string;
  readonly reason: string;
}

/** Skipped entries that are named in a result; beyond, they are only left out. */
const MAX_SKIPPED = 1000;

/**
 * Writes a checked tree into a fresh directory that nobody else uses. It makes every directory itself, opens every file as a
 * new one, and makes the symlinks after everything else: so no step can pass through a symlink, and nothing that exists is
 * ever opened, whatever the guest sends.
 */
export class HostTree {
  readonly #root: Buffer;
  readonly #directories: Directory[] = [];
  readonly #symlinks: { path: Uint8Array; target: Uint8Array }[] = [];
  readonly #slice = new TimeSlice();
  #file: OpenFile | undefined;
  readonly skipped: SkippedEntry[] = [];

  /** @param root an empty directory that was made for this */
  constructor(root: string) {
    this.#root = Buffer.from(`${root}/`);
  }

  /** The host's path of an entry: bytes, since Linux's names are. */
  #at(path: Uint8Array): Buffer {
    return Buffer.concat([this.#root, path]);
  }

  /** @throws SmolVMError FILE_UNSAFE for an entry that comes twice or without its directory; NO_SPACE, FILE_PERMISSION, FILE_FAILED */
  apply(step: TreeStep): Promise<void> | undefined {
    switch (step.kind) {
      case "directory":
        this.#directories.push({ ...step, path: Buffer.from(step.path) });
        if (step.path.length > 0) this.#attempt(step.path, () => mkdirSync(this.#at(step.path), 0o700));
        return this.#slice.breathe();
      case "file":
        this.#file = { ...step, path: Buffer.from(step.path), handle: undefined, pieces: [], gathered: 0 };
        return undefined;
      case "data":
        return this.#data(this.#file!, step.data);
      case "end": {
        const file = this.#file!;
        this.#file = undefined;
        return this.#end(file);
      }
      case "symlink":
        this.#symlinks.push({ path: Buffer.from(step.path), target: Buffer.from(step.target) });
        return undefined;
      case "skip":
        this.#skip(step.path, step.reason);
        return undefined;
    }
  }

  #skip(path: Uint8Array, reason: string): void {
    if (this.skipped.length < MAX_SKIPPED)
      this.skipped.push({ path: Buffer.from(path).toString("utf8"), reason });
  }

  #data(file: OpenFile, data: Uint8Array): Promise<void> | undefined {
    file.pieces.push(data);
    file.gathered += data.length;
    return file.gathered >= GATHER_BYTES ? this.#write(file) : undefined;
  }

  /** Writes what the open file has gathered; to be called before waiting for more. */
  async flush(): Promise<void> {
    const file = this.#file;
    // A first piece may be the only one: then the whole file is written at its end.
    if (file !== undefined && (file.pieces.length > 1 || file.handle)) await this.#write(file);
  }

  async #write(file: OpenFile): Promise<void> {
    await this.#attemptLater(file.path, async () => {
      file.handle ??= await open(this.#at(file.path), CREATE, 0o600);
      const pieces = file.pieces;
      file.pieces = [];
      file.gathered = 0;
      await writeAll(file.handle, pieces);
    });
  }

  #end(file: OpenFile): Promise<void> | undefined {
    if (file.handle !== undefined) return this.#close(file, file.handle);
    this.#attempt(file.path, () => {
      const fd = openSync(this.#at(file.path), CREATE, 0o600);
      try {
        for (const piece of file.pieces) {
          for (let rest = piece; rest.length > 0; ) rest = rest.subarray(writeSync(fd, rest));
        }
        if (HAS_MODES) fchmodSync(fd, file.mode);
        futimesSync(fd, file.mtime, file.mtime);
      } finally {
        closeSync(fd);
      }
    });
    return this.#slice.breathe();
  }

  async #close(file: OpenFile, handle: FileHandle): Promise<void> {
    await this.#attemptLater(file.path, async () => {
      try {
        await writeAll(handle, file.pieces);
        if (HAS_MODES) await handle.chmod(file.mode);
        await handle.utimes(file.mtime, file.mtime);
      } finally {
        await handle.close();
      }
    });
  }

  /** Makes the symlinks: nothing is written below the root any more. */
  async finish(): Promise<void> {
    for (const { path, target } of this.#symlinks) {
      this.#attempt(path, () => {
        try {
          symlinkSync(Buffer.from(target), this.#at(path));
        } catch (error) {
          // Windows lets only some users make symlinks.
          if (process.platform !== "win32" || (error as NodeJS.ErrnoException).code !== "EPERM") throw error;
          this.#skip(path, "a symlink, which this user may not make");
        }
      });
      await this.#slice.breathe();
    }
  }

  /** Gives directories their modes and times, the deepest first. @param keep those that are left as they are */
  async finishDirectories(root: string, keep: ReadonlySet<string>): Promise<void> {
    const at = Buffer.from(`${root}/`);
    for (const { path, mode, mtime } of this.#directories.reverse()) {
      if (keep.has(Buffer.from(path).toString("latin1"))) continue;
      const full = Buffer.concat([at, path]);
      this.#attempt(path, () => {
        utimesSync(full, mtime, mtime);
        if (HAS_MODES) chmodSync(full, mode);
      });
      await this.#slice.breathe();
    }
  }

  /** Closes what is open, before the directory is removed after a failure. */
  async abandon(): Promise<void> {
    await this.#file?.handle?.close().catch(() => {}); // it is removed anyway
  }

  #attempt(path: Uint8Array, act: () => void): void {
    try {
      act();
    } catch (error) {
      throw this.#failure(path, error);
    }
  }

  async #attemptLater(path: Uint8Array, act: () => Promise<void>): Promise<void> {
    try {
      await act();
    } catch (error) {
      throw this.#failure(path, error);
    }
  }

  #failure(path: Uint8Array, error: unknown): SmolVMError {
    switch ((error as NodeJS.ErrnoException).code) {
      case "EEXIST":
      case "EISDIR":
        return unsafe(path, "comes twice, or differs from another only in a way that this disk ignores");
      case "ENOENT":
      case "ENOTDIR":
      case "ELOOP":
        return unsafe(path, "is in a directory that was not sent before it");
      case "ENAMETOOLONG":
      case "EILSEQ":
      case "EINVAL":
        return unsafe(path, "has a name that this disk cannot hold");
      default:
        return hostError(error, "writing the download", this.#at(path).toString("utf8"));
    }
  }
}

/** Writes all pieces, however many the system takes at a time. */
export async function writeAll(handle: FileHandle, pieces: readonly Uint8Array[]): Promise<void> {
  if (pieces.length === 0) return;
  let total = 0;
  for (const piece of pieces) total += piece.length;
  const { bytesWritten } = await handle.writev(pieces as Uint8Array[]);
  if (bytesWritten === total) return;
  let rest = Buffer.concat(pieces).subarray(bytesWritten);
  while (rest.length > 0) rest = rest.subarray((await handle.write(rest)).bytesWritten);
}
