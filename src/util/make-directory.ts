import { mkdirSync, statSync } from "node:fs";
import { dirname } from "node:path";

/**
 * Makes a directory with those above it; one that is there is fine. Not Node's `recursive`, which never returns where the
 * system says ENOENT although the parent is there: in /proc, for instance.
 * @param mode of those that are made; default what the umask leaves
 * @throws the system's error
 */
export function makeDirectory(path: string, mode?: number): void {
  let error = attempt(path, mode);
  const parent = dirname(path);
  if (error?.code === "ENOENT" && parent !== path) {
    makeDirectory(parent, mode);
    error = attempt(path, mode);
  }
  if (error) throw error;
}

/** What is wrong, or undefined if the directory is there now. */
function attempt(path: string, mode: number | undefined): NodeJS.ErrnoException | undefined {
  if (isDirectory(path)) return undefined; // first, because it nearly always is: an error that is thrown takes longer than a look
  try {
    mkdirSync(path, { mode });
    return undefined;
  } catch (error) {
    return isDirectory(path) ? undefined : (error as NodeJS.ErrnoException);
  }
}

function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false; // then the first error is the one to tell
  }
}
