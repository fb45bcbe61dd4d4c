import { type ErrorCode, SmolVMError } from "../../errors.ts";
import { escapeTerminal } from "../../util/escape-terminal.ts";

const MEANINGS: Record<string, readonly [ErrorCode, string, string?]> = {
  ENOENT: ["FILE_NOT_FOUND", "no such file or directory on this machine"],
  EEXIST: ["FILE_EXISTS", "it exists on this machine"],
  ENOTEMPTY: ["FILE_EXISTS", "it exists on this machine"],
  EISDIR: ["FILE_TYPE", "it is a directory on this machine"],
  ENOTDIR: ["FILE_TYPE", "a part of the path is no directory on this machine"],
  ELOOP: ["FILE_TYPE", "it is a symlink on this machine"],
  EACCES: ["FILE_PERMISSION", "permission denied on this machine"],
  EPERM: ["FILE_PERMISSION", "permission denied on this machine"],
  EROFS: ["FILE_PERMISSION", "it is on a read-only file system of this machine"],
  ENOSPC: ["NO_SPACE", "this machine's disk is full", "Free space on this machine (df -h shows where)."],
  EDQUOT: [
    "NO_SPACE",
    "your disk quota on this machine is used up",
    "Free space on this machine (quota shows how much).",
  ],
};

/** The SmolVMError for a file operation that failed on the host; one that is a SmolVMError already stays as it is. */
export function hostError(error: unknown, what: string, path: string): SmolVMError {
  if (error instanceof SmolVMError) return error;
  const { code: errno, path: at } = error as NodeJS.ErrnoException;
  // A file is written under a name of ours first, which the user has never typed.
  const where = escapeTerminal(at === undefined || /[\\/]\.smolvm-/.test(at) ? path : at, 300);
  const [code, text, hint] = MEANINGS[errno ?? ""] ?? ["FILE_FAILED", (error as Error).message];
  return new SmolVMError(code, `${what} failed: '${where}': ${text}`, {
    hint,
    details: { side: "host", path: where, errno },
    cause: error,
  });
}
