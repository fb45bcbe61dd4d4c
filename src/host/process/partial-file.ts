import { readdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { rm } from "../../util/files-go.ts";
import { identify, isAlive } from "./process-identity.ts";

/** The name under which this process writes a file of the user's, beside it, until it is whole. */
export function partialPath(target: string): string {
  return `${target}.${process.pid}.tmp`;
}

/** Removes what processes that were killed while they wrote the same file have left beside it. */
export async function removeStalePartials(target: string): Promise<void> {
  for (const name of await readdir(dirname(target)).catch(() => [])) {
    if (!name.startsWith(`${basename(target)}.`)) continue;
    const pid = /^\.(\d+)\.tmp$/.exec(name.slice(basename(target).length))?.[1];
    if (pid !== undefined && !isAlive(identify(Number(pid))))
      await rm(join(dirname(target), name), { force: true });
  }
}
