import { posix } from "node:path";
import { type FileInfo, FileType } from "../wire/messages.ts";
import { violation } from "../wire/violation.ts";
import { mtimeOf } from "./tree-policy.ts";
import type { GuestFileInfo } from "./types.ts";

/**
 * What a guest says of a file, as users see it.
 * @param path what it was asked for
 * @throws SmolVMError AGENT_PROTOCOL if it says nothing
 */
export function fileInfo(info: FileInfo | undefined, path: string): GuestFileInfo {
  if (info === undefined) throw violation("an answer without the file's information");
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString("utf8");
  return {
    name: posix.basename(path),
    path,
    type: fileType(info.type),
    mode: info.mode & 0o7777,
    size: info.size,
    mtime: new Date(mtimeOf(info) * 1000),
    uid: info.uid,
    gid: info.gid,
    target: info.type === FileType.symlink ? text(info.target) : undefined,
  };
}

/** {@link fileInfo} of what is in a directory, where the guest says the name. */
export function entryInfo(info: FileInfo, directory: string): GuestFileInfo {
  const name = Buffer.from(info.path).toString("utf8");
  return {
    ...fileInfo(info, ""),
    name,
    path: directory.endsWith("/") ? directory + name : `${directory}/${name}`,
  };
}

function fileType(type: number): GuestFileInfo["type"] {
  if (type === FileType.file) return "file";
  if (type === FileType.directory) return "directory";
  return type === FileType.symlink ? "symlink" : "other";
}
