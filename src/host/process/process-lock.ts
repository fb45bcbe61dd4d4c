import { closeSync, constants, mkdirSync, openSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { insist, rmSync } from "../../util/files-go.ts";
import { randomBytes } from "../../util/random-bytes.ts";

// Locks that tell on Windows whether a process still runs. There is no /proc there, a number is soon another process's, and asking
// the system by PowerShell takes a second. A file that a process has open so that nobody else may open it is closed by
// the kernel when the process ends, however it ends: no boot, no kill and no number that is used again makes it say something else.

/** "Nobody else opens it meanwhile": libuv's UV_FS_O_EXLOCK on Windows (uv/win.h), a share mode of 0 in CreateFile. */
const EXCLUSIVE = 0x10000000;

/** Where this user's processes have theirs. */
function locksDir(): string {
  return join(tmpdir(), "smolvm-processes");
}

/**
 * Makes the file if it is not there, and holds it until this process ends.
 * @throws the system's error: EBUSY, another process holds it
 */
export function holdLock(path: string): void {
  // A look of somebody else's keeps it open for a moment.
  insist(() => openSync(path, constants.O_RDWR | constants.O_CREAT | EXCLUSIVE, 0o600));
}

/** Whether a process that runs holds it. False where there is no such file. */
export function isLockHeld(path: string): boolean {
  try {
    closeSync(openSync(path, "r"));
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EBUSY";
  }
}

let own: string | undefined;

/** The lock of this process, made when it is first asked for. What processes that have ended left is removed by the way. */
export function ownLock(): string {
  if (own !== undefined) return own;
  const directory = locksDir();
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const name = `${process.pid}-${randomBytes(8).toString("hex")}`;
  holdLock(join(directory, name));
  own = join(directory, name);
  for (const other of readdirSync(directory))
    if (other !== name && !isLockHeld(join(directory, other))) removeQuietly(join(directory, other));
  return own;
}

function removeQuietly(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // the next one does
  }
}
