import { randomBytes } from "node:crypto";
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { rm } from "../../util/files-go.ts";

/** Whether a directory is of the names that are given here: another program may keep files in a directory of the same name. Pure. */
export function isWorkDir(name: string): boolean {
  return /^[0-9a-f]{16}$/.test(name);
}

/**
 * Runs `act` with a new directory under `work`, which is removed in the end. Only called under the lock of those who work there:
 * what else is in `work` belongs to none that runs, and is removed first.
 */
export async function inWorkDir<T>(work: string, act: (directory: string) => Promise<T>): Promise<T> {
  for (const old of (await readdir(work).catch(() => [])).filter(isWorkDir)) {
    await rm(join(work, old), { recursive: true, force: true });
  }
  const directory = join(work, randomBytes(8).toString("hex"));
  await mkdir(directory, { recursive: true, mode: 0o700 });
  try {
    return await act(directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
