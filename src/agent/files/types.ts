import type { Limits } from "../types.ts";
import type { SkippedEntry } from "./host-tree.ts";

/** Options of every file operation. */
export interface FileOptions extends Limits {
  /** who acts: "name", "uid", "name:group" or "uid:gid". Default root */
  user?: string | undefined;
}

/** What is at a path in the guest. */
export interface GuestFileInfo {
  /** its last part of `path`; bytes that are not UTF-8 read as U+FFFD */
  readonly name: string;
  /** absolute; as it was asked for (of one in the working directory with that), of `list` with the name behind it */
  readonly path: string;
  /** "other": what is none of these, and from an older sandbox's agent all but files, directories and symlinks */
  readonly type:
    | "file"
    | "directory"
    | "symlink"
    | "fifo"
    | "socket"
    | "characterDevice"
    | "blockDevice"
    | "other";
  /** permission bits, 0 to 0o7777 */
  readonly mode: number;
  /** bytes */
  readonly size: number;
  readonly mtime: Date;
  /** when it was made; undefined where the guest's file system does not keep it (the image's own files), or its agent is older */
  readonly birthtime: Date | undefined;
  /** which file of its file system it is, in decimal (it may exceed what a number holds); undefined from an older sandbox's agent */
  readonly inode: string | undefined;
  /**
   * Another one after every change of content, mode, owner or times, by whomever: for `ifVersion` of {@link WriteOptions}. Opaque; as exact as
   * the guest's clock ticks (4 to 10 ms). Empty from an older sandbox's agent.
   */
  readonly version: string;
  readonly uid: number;
  readonly gid: number;
  /** of a symlink: where it leads, unresolved */
  readonly target: string | undefined;
}

/** Options of `copy`. */
export interface CopyOptions extends FileOptions {
  /** also a directory, with everything in it. Default false */
  recursive?: boolean | undefined;
  /** a file that is there is replaced, and a directory added to; else it is FILE_EXISTS. Default true */
  overwrite?: boolean | undefined;
  /** make the directories above the target that are missing. Default false */
  parents?: boolean | undefined;
}

/** What was copied. */
export interface CopyResult {
  /** files, directories and symlinks below the root; 1 for a file */
  readonly entries: number;
  /** bytes of content, whether or not they take room of their own */
  readonly bytes: number;
  /** devices, pipes and sockets that were left out */
  readonly skipped: number;
}

/** How far a transfer has come. */
export interface TransferProgress {
  /** content so far */
  readonly bytes: number;
  /** files, directories and symlinks of a directory so far */
  readonly entries: number;
}

/** Options of `upload` and `download`. */
export interface TransferOptions extends FileOptions {
  /** make the directories above the target that are missing. Default false */
  parents?: boolean | undefined;
  /** told after each stretch of content */
  onProgress?: ((progress: TransferProgress) => void) | undefined;
}

/** What was transferred. */
export interface TransferResult {
  /** files, directories and symlinks below the root; 1 for a file */
  readonly entries: number;
  /** bytes of content */
  readonly bytes: number;
  /** the first 1,000 entries that were left out, with the reason */
  readonly skipped: readonly SkippedEntry[];
}
