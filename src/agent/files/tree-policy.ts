import { SmolVMError } from "../../errors.ts";
import { type FileInfo, FileType, type TreeRecord } from "../wire/messages.ts";
import { checkEntryPath, type NameRules, staysInside, unsafe } from "./entry-path.ts";

/** Most bytes of one data record (PROTOCOL.md, "Files"). */
export const MAX_TREE_DATA = 65_000;

/** Bytes of paths and symlink targets that are remembered until a tree's end: its directories and symlinks. */
const MAX_REMEMBERED = 128 * 1024 * 1024;
/** What remembering one of them costs besides its bytes. */
const REMEMBERED_OVERHEAD = 64;

/** Default of {@link TreeLimits.maxEntries}. */
const DEFAULT_MAX_ENTRIES = 1_000_000;

/** How much of a tree is accepted. */
export interface TreeLimits {
  /** most entries; default 1,000,000 */
  readonly maxEntries?: number | undefined;
  /** most bytes of content; default none */
  readonly maxBytes?: number | undefined;
}

/** What a record means, once it has been checked. Paths are relative to the tree's root; the root's own is empty. */
export type TreeStep =
  | { readonly kind: "directory"; readonly path: Uint8Array; readonly mode: number; readonly mtime: number }
  | {
      readonly kind: "file";
      readonly path: Uint8Array;
      readonly mode: number;
      readonly mtime: number;
      readonly size: number;
    }
  | { readonly kind: "symlink"; readonly path: Uint8Array; readonly target: Uint8Array }
  | { readonly kind: "skip"; readonly path: Uint8Array; readonly reason: string }
  | { readonly kind: "data"; readonly data: Uint8Array }
  | { readonly kind: "end" };

/** Permissions that are taken over: never set-user-id, set-group-id or sticky, which would be the guest's gift to the host. */
const MODE_MASK = 0o777;

/**
 * Decides what to do with each record of a tree that a guest sends. It checks everything that can be seen without a file
 * system: names, types, order, amounts. That an entry does not come twice, and that its directory came before it, the fresh
 * directory shows in which the tree is written. Pure.
 */
export class TreePolicy {
  readonly #rules: NameRules;
  readonly #maxEntries: number;
  readonly #maxBytes: number;
  #started = false;
  #file: Uint8Array | undefined;
  #entries = 0;
  #bytes = 0;
  #remembered = 0;

  constructor(rules: NameRules, limits: TreeLimits = {}) {
    this.#rules = rules;
    this.#maxEntries = limits.maxEntries ?? DEFAULT_MAX_ENTRIES;
    this.#maxBytes = limits.maxBytes ?? Number.POSITIVE_INFINITY;
  }

  /** Entries below the root so far. */
  get entries(): number {
    return this.#entries;
  }

  /** Bytes of content so far. */
  get bytes(): number {
    return this.#bytes;
  }

  /** @throws SmolVMError FILE_UNSAFE for whatever no honest guest sends, or what is beyond the limits */
  step(record: TreeRecord): TreeStep {
    const parts = (record.entry ? 1 : 0) + (record.data.length > 0 ? 1 : 0) + (record.end ? 1 : 0);
    if (parts !== 1) throw unsafe(this.#file ?? "", "came in a record that is not exactly one thing");
    if (record.entry !== undefined) return this.#entry(record.entry);
    const file = this.#file;
    if (file === undefined) throw unsafe("", "is content without a file");
    if (record.end) {
      this.#file = undefined;
      return { kind: "end" };
    }
    const { data } = record;
    if (data.length > MAX_TREE_DATA) throw unsafe(file, `has a piece of ${data.length} bytes`);
    this.#bytes += data.length;
    if (this.#bytes > this.#maxBytes) throw tooMuch(`more than ${this.#maxBytes} bytes`, "maxBytes");
    return { kind: "data", data };
  }

  /** The stream has ended. @throws SmolVMError FILE_UNSAFE if that is in the middle of the tree */
  finish(): void {
    if (this.#file !== undefined) throw unsafe(this.#file, "ends in the middle");
    if (!this.#started) throw unsafe("", "is an empty tree");
  }

  #entry(info: FileInfo): TreeStep {
    const { path } = info;
    if (this.#file !== undefined) throw unsafe(path, "comes inside another file");
    const mode = info.mode & MODE_MASK;
    const mtime = mtimeOf(info);
    if (!this.#started) {
      this.#started = true;
      if (path.length > 0) throw unsafe(path, "comes before the tree's root");
      if (info.type !== FileType.directory) {
        throw new SmolVMError("FILE_TYPE", "what was to be downloaded as a directory is none any more");
      }
      return { kind: "directory", path, mode, mtime };
    }
    checkEntryPath(path, this.#rules);
    this.#entries++;
    if (this.#entries > this.#maxEntries)
      throw tooMuch(`more than ${this.#maxEntries} entries`, "maxEntries");
    switch (info.type) {
      case FileType.file:
        this.#file = path;
        return { kind: "file", path, mode, mtime, size: info.size };
      case FileType.directory:
        this.#remember(path.length);
        return { kind: "directory", path, mode, mtime };
      case FileType.symlink:
        this.#remember(path.length + info.target.length);
        if (staysInside(path, info.target, this.#rules))
          return { kind: "symlink", path, target: info.target };
        return { kind: "skip", path, reason: "a symlink that leads out of the directory" };
      default:
        throw unsafe(path, "is neither a file nor a directory nor a symlink");
    }
  }

  #remember(bytes: number): void {
    this.#remembered += bytes + REMEMBERED_OVERHEAD;
    if (this.#remembered > MAX_REMEMBERED)
      throw tooMuch("more directories and symlinks than fit in memory", "");
  }
}

/** Latest time that ext4 can hold, in seconds since 1970 (kernel.org, ext4 inode timestamps: the year 2446). */
const MAX_MTIME = 2 ** 34 - 1;

/** A guest's modification time in seconds, cut to what a host's file system can hold. */
export function mtimeOf(info: Pick<FileInfo, "mtimeS" | "mtimeNs">): number {
  return Math.min(info.mtimeS, MAX_MTIME) + Math.min(info.mtimeNs, 999_999_999) / 1e9;
}

function tooMuch(what: string, option: string): SmolVMError {
  return new SmolVMError("FILE_UNSAFE", `the sandbox sent ${what}`, {
    hint: option === "" ? "Download its parts one by one." : `Raise ${option} if that is right.`,
    details: { option },
  });
}
