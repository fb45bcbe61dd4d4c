import { type FileInfo, FileType } from "../wire/messages.ts";
import { violation } from "../wire/violation.ts";
import { mtimeOf } from "./tree-policy.ts";
import type { GuestFileInfo } from "./types.ts";

/** What a guest says of a file, as users see it. @throws SmolVMError AGENT_PROTOCOL if it says nothing */
export function fileInfo(info: FileInfo | undefined): GuestFileInfo {
  if (info === undefined) throw violation("an answer without the file's information");
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString("utf8");
  return {
    path: text(info.path),
    type: fileType(info.type),
    mode: info.mode & 0o7777,
    size: info.size,
    mtime: new Date(mtimeOf(info) * 1000),
    uid: info.uid,
    gid: info.gid,
    target: info.type === FileType.symlink ? text(info.target) : undefined,
  };
}

function fileType(type: number): GuestFileInfo["type"] {
  if (type === FileType.file) return "file";
  if (type === FileType.directory) return "directory";
  return type === FileType.symlink ? "symlink" : "other";
}
