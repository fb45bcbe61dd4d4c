import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { isAlive, type ProcessIdentity } from "../../host/process/process-identity.ts";
import { BASE_FILE, MAKER_FILE, REMOVED, snapshotsDir } from "../../snapshots/saved.ts";
import { rmSync } from "../../util/files-go.ts";
import type { Home } from "../home.ts";

/** A maker writes its name right after it has made the directory. */
const UNNAMED_MS = 10_000;

/** Removes what makers that died have left. Returns what it was. */
export function removeUnfinishedSnapshots({ paths }: Home): string[] {
  const root = snapshotsDir(paths);
  return hidden(root).flatMap((name) => {
    const dir = join(root, name);
    if (isBeingMade(dir)) return [];
    rmSync(dir, { recursive: true, force: true });
    return [`${name.endsWith(REMOVED) ? "a removed" : "an unfinished"} snapshot (${dir})`];
  });
}

/** Digests of the snapshots that those in the making are to be the difference to. */
export function basesBeingUsed({ paths }: Home): Set<string> {
  const root = snapshotsDir(paths);
  const bases = hidden(root).flatMap((name) => {
    try {
      return isBeingMade(join(root, name)) ? [readFileSync(join(root, name, BASE_FILE), "utf8")] : [];
    } catch {
      return []; // to none, or it is a snapshot by now
    }
  });
  return new Set(bases);
}

function hidden(root: string): string[] {
  try {
    return readdirSync(root).filter((name) => name.startsWith("."));
  } catch {
    return []; // was never made
  }
}

function isEmpty(dir: string): boolean {
  try {
    return readdirSync(dir).length === 0;
  } catch {
    return false;
  }
}

function isBeingMade(dir: string): boolean {
  if (dir.endsWith(REMOVED)) return false; // whoever removes it does not mind
  try {
    return isAlive(JSON.parse(readFileSync(join(dir, MAKER_FILE), "utf8")) as ProcessIdentity);
  } catch {
    if (!isEmpty(dir)) return true; // without a name: not of ours
    const made = statSync(dir, { throwIfNoEntry: false });
    return made !== undefined && Date.now() - made.mtimeMs < UNNAMED_MS;
  }
}
