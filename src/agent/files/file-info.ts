import { posix } from "node:path";
import { type FileInfo, FileType } from "../wire/messages.ts";
import { violation } from "../wire/violation.ts";
import { locatedAt } from "./guest-path.ts";
import { mtimeOf } from "./tree-policy.ts";
import type { GuestFileInfo } from "./types.ts";

/** Longest version of a file (PROTOCOL.md). */
const MAX_VERSION_BYTES = 32;

/**
 * What a guest says of a file, as users see it.
 * @param path what it was asked for
 * @throws SmolVMError AGENT_PROTOCOL if it says nothing
 */
export function fileInfo(info: FileInfo | undefined, path: string): GuestFileInfo {
  if (info === undefined) throw violation("an answer without the file's information");
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString("utf8");
  const at = locatedAt(path, text(info.path));
  return {
    name: posix.basename(at),
    path: at,
    type: TYPES[info.type] ?? "other",
    mode: info.mode & 0o7777,
    size: info.size,
    mtime: new Date(mtimeOf(info) * 1000),
    birthtime: birthtime(info),
    inode: inode(info.inode),
    version: version(info.version),
    uid: info.uid,
    gid: info.gid,
    target: info.type === FileType.symlink ? text(info.target) : undefined,
  };
}

/** {@link fileInfo} of what is in a directory, where the guest says its path in there: `path` is that path. */
export function entryInfo(info: FileInfo): { -readonly [K in keyof GuestFileInfo]: GuestFileInfo[K] } {
  const path = Buffer.from(info.path).toString("utf8");
  return { ...fileInfo(info, `/${path}`), path };
}

const TYPES: Readonly<Record<number, GuestFileInfo["type"]>> = {
  [FileType.file]: "file",
  [FileType.directory]: "directory",
  [FileType.symlink]: "symlink",
  [FileType.fifo]: "fifo",
  [FileType.socket]: "socket",
  [FileType.characterDevice]: "characterDevice",
  [FileType.blockDevice]: "blockDevice",
};

function inode(bytes: Uint8Array): string | undefined {
  if (bytes.length === 0) return undefined;
  if (bytes.length !== 8) throw violation(`an inode of ${bytes.length} bytes`);
  return Buffer.from(bytes).readBigUInt64LE().toString();
}

function version(bytes: Uint8Array): string {
  if (bytes.length > MAX_VERSION_BYTES) throw violation(`a version of ${bytes.length} bytes`);
  return Buffer.from(bytes).toString("hex");
}

function birthtime({ btimeS, btimeNs }: FileInfo): Date | undefined {
  if (btimeS === 0 && btimeNs === 0) return undefined;
  return new Date(mtimeOf({ mtimeS: btimeS, mtimeNs: btimeNs }) * 1000);
}
