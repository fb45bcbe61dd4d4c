import { appendFileSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { renameSync } from "../../util/files-go.ts";

/** A file that is larger becomes FILE.1, and a new one begins: with both, twice as much is kept. In bytes. */
const MAX_BYTES = 512 * 1024;

/**
 * Adds a line to a log that RotatedLog reads, and rotates it. One process at a time writes it.
 * @throws the error of writing
 */
export function appendToLog(path: string, line: string): void {
  const there = statSync(path, { bigint: true, throwIfNoEntry: false });
  if (there !== undefined && there.size > MAX_BYTES) rotate(path, Number(there.size));
  appendFileSync(path, `${line}\n`, { mode: 0o600 });
}

function rotate(path: string, size: number): void {
  const begin = beginOf(path);
  renameSync(path, `${path}.1`);
  writeFileSync(path, "", { mode: 0o600 });
  // Where the new one begins among all that was ever written, and which file that is.
  writeFileSync(`${path}.at`, `${begin + size} ${statSync(path, { bigint: true }).ino}\n`, { mode: 0o600 });
}

function beginOf(path: string): number {
  try {
    return Number(readFileSync(`${path}.at`, "latin1").split(" ")[0]) || 0;
  } catch {
    return 0; // the first file
  }
}
