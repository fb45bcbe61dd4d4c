import { existsSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { rmSync } from "../util/files-go.ts";

/** Room for the few writes that removing a sandbox takes: a commit is some pages of 4 KiB. */
const BALLAST_BYTES = 1 << 20;

/**
 * A file that is there to be given up. On a full disk the store could not even note that a sandbox is being removed,
 * which is what would free the disk.
 */
export function layBallast(databasePath: string): void {
  const path = ballastPath(databasePath);
  if (existsSync(path)) return;
  try {
    writeFileSync(path, Buffer.alloc(BALLAST_BYTES, 0xa5), { mode: 0o600 });
  } catch {
    rmSync(path, { force: true }); // no room for it: the next process tries again
  }
}

/** Gives the file up. The next process that opens the store lays it again, if there is room. */
export function dropBallast(databasePath: string): void {
  rmSync(ballastPath(databasePath), { force: true });
}

function ballastPath(databasePath: string): string {
  return join(dirname(databasePath), "ballast");
}
