import { fstatSync } from "node:fs";

/** Whether a descriptor is a terminal. False for one that is closed. */
export function isTerminal(fd: number): boolean {
  try {
    // Most often it is a pipe or a file: no reason to load node:tty. (What a console is to fstat differs on Windows.)
    if (process.platform !== "win32" && !fstatSync(fd).isCharacterDevice()) return false;
  } catch {
    return false;
  }
  return process.getBuiltinModule("node:tty").isatty(fd);
}
