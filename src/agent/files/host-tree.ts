import { constants } from "node:fs";
import { chmod, type FileHandle, mkdir, open, symlink, utimes } from "node:fs/promises";
import { unsafe } from "./entry-path.ts";
import { hostError } from "./host-error.ts";
import type { TreeStep } from "./tree-policy.ts";

/** Small files that are written at the same time: enough to keep libuv's four threads busy. */
const CONCURRENT_FILES = 16;
/** Content of a large file is gathered up to this before it is written, in bytes. */
const GATHER_BYTES = 1024 * 1024;

/** New, exclusively ours, never through a symlink; not on Windows, which has no such flag and makes no such links. */
const CREATE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | (constants.O_NOFOLLOW ?? 0);

interface OpenFile {
  readonly path: Uint8Array;
  readonly mode: number;
  readonly mtime: number;
  /** made once the content is more than one piece */
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
  readonly #writing = new Set<Promise<void>>();
  #failure: { error: unknown } | undefined;
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
  async apply(step: TreeStep): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure.error;
    switch (step.kind) {
      case "directory":
        this.#directories.push({ ...step, path: Buffer.from(step.path) });
        if (step.path.length > 0) await this.#attempt(step.path, () => mkdir(this.#at(step.path), 0o700));
        return;
      case "file":
        this.#file = { ...step, path: Buffer.from(step.path), handle: undefined, pieces: [], gathered: 0 };
        return;
      case "data":
        return this.#data(this.#file!, step.data);
      case "end": {
        const file = this.#file!;
        this.#file = undefined;
        return this.#end(file);
      }
      case "symlink":
        this.#symlinks.push({ path: Buffer.from(step.path), target: Buffer.from(step.target) });
        return;
      case "skip":
        this.#skip(step.path, step.reason);
    }
  }

  #skip(path: Uint8Array, reason: string): void {
    if (this.skipped.length < MAX_SKIPPED)
      this.skipped.push({ path: Buffer.from(path).toString("utf8"), reason });
  }

  async #data(file: OpenFile, data: Uint8Array): Promise<void> {
    file.pieces.push(data);
    file.gathered += data.length;
    if (file.gathered >= GATHER_BYTES) await this.#write(file);
  }

  /** Writes what the open file has gathered; to be called before waiting for more. */
  async flush(): Promise<void> {
    // A first piece may be the only one: then the whole file is written at its end, beside others.
    if (this.#file !== undefined && (this.#file.pieces.length > 1 || this.#file.handle))
      await this.#write(this.#file);
  }

  async #write(file: OpenFile): Promise<void> {
    await this.#attempt(file.path, async () => {
      file.handle ??= await open(this.#at(file.path), CREATE, 0o600);
      const pieces = file.pieces;
      file.pieces = [];
      file.gathered = 0;
      await writeAll(file.handle, pieces);
    });
  }

  async #end(file: OpenFile): Promise<void> {
    if (file.handle !== undefined) return this.#close(file);
    while (this.#writing.size >= CONCURRENT_FILES) await Promise.race(this.#writing);
    if (this.#failure !== undefined) throw this.#failure.error;
    const writing = this.#close(file)
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => this.#writing.delete(writing));
    this.#writing.add(writing);
  }

  async #close(file: OpenFile): Promise<void> {
    await this.#attempt(file.path, async () => {
      file.handle ??= await open(this.#at(file.path), CREATE, 0o600);
      try {
        await writeAll(file.handle, file.pieces);
        await file.handle.chmod(file.mode);
        await file.handle.utimes(file.mtime, file.mtime);
      } finally {
        await file.handle.close();
      }
    });
  }

  /** Makes the symlinks and gives the directories their modes and times: nothing is written below them any more. */
  async finish(): Promise<void> {
    await Promise.all(this.#writing);
    if (this.#failure !== undefined) throw this.#failure.error;
    for (const { path, target } of this.#symlinks) {
      await this.#attempt(path, async () => {
        try {
          await symlink(Buffer.from(target), this.#at(path));
        } catch (error) {
          // Windows lets only some users make symlinks.
          if (process.platform !== "win32" || (error as NodeJS.ErrnoException).code !== "EPERM") throw error;
          this.#skip(path, "a symlink, which this user may not make");
        }
      });
    }
  }

  /** Gives directories their modes and times, the deepest first. @param keep those that are left as they are */
  async finishDirectories(root: string, keep: ReadonlySet<string>): Promise<void> {
    const at = Buffer.from(`${root}/`);
    for (const { path, mode, mtime } of this.#directories.reverse()) {
      if (keep.has(Buffer.from(path).toString("latin1"))) continue;
      const full = Buffer.concat([at, path]);
      await this.#attempt(path, async () => {
        await utimes(full, mtime, mtime);
        await chmod(full, mode);
      });
    }
  }

  /** Closes what is open, before the directory is removed after a failure. */
  async abandon(): Promise<void> {
    await Promise.all(this.#writing);
    await this.#file?.handle?.close().catch(() => {}); // it is removed anyway
  }

  async #attempt(path: Uint8Array, act: () => Promise<unknown>): Promise<void> {
    try {
      await act();
    } catch (error) {
      switch ((error as NodeJS.ErrnoException).code) {
        case "EEXIST":
        case "EISDIR":
          throw unsafe(path, "comes twice, or differs from another only in a way that this disk ignores");
        case "ENOENT":
        case "ENOTDIR":
        case "ELOOP":
          throw unsafe(path, "is in a directory that was not sent before it");
        case "ENAMETOOLONG":
        case "EILSEQ":
        case "EINVAL":
          throw unsafe(path, "has a name that this disk cannot hold");
        default:
          throw hostError(error, "writing the download", this.#at(path).toString("utf8"));
      }
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
