import { closeSync, ftruncateSync, openSync } from "node:fs";

/**
 * Makes a file of so many bytes, all of which are a hole. It must not exist.
 * @param mode its permissions; default: its owner's alone
 */
export function makeEmpty(path: string, bytes: number, mode = 0o600): void {
  const file = openSync(path, "wx", mode);
  try {
    ftruncateSync(file, bytes);
  } finally {
    closeSync(file);
  }
}
