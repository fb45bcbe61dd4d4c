import { readdirSync } from "node:fs";
import { join } from "node:path";
import { identify, isAlive } from "../../host/process/process-identity.ts";
import { removeStale } from "../../images/store/build-lock.ts";
import { templateLayout } from "../../snapshots/layout.ts";
import { rmSync } from "../../util/files-go.ts";
import type { Home } from "../home.ts";

/** What is made there, or was put aside to be removed: KEY.PID or KEY.PID.TIME. */
const OURS = /^[0-9a-f]{32}\.(\d+)(?:\.\d+)?$/;
const LOCK = /^[0-9a-f]{32}\.lock$/;

/** Removes what makers of templates that died have left: half of one, and their locks. Returns what it was. */
export async function removeUnfinishedTemplates({ paths }: Home): Promise<string[]> {
  const { root, work } = templateLayout(paths);
  const removed: string[] = [];
  for (const name of names(work)) {
    const pid = OURS.exec(name)?.[1];
    if (pid === undefined || isAlive(identify(Number(pid)))) continue;
    rmSync(join(work, name), { recursive: true, force: true });
    removed.push(`an unfinished template (${join(work, name)})`);
  }
  for (const name of names(root).filter((name) => LOCK.test(name)))
    if (await removeStale(join(root, name))) removed.push(join(root, name));
  return removed;
}

function names(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return []; // was never made
  }
}
