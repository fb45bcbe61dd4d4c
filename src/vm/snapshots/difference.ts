import { existsSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { failpoint } from "../../host/failpoint.ts";
import { subtractLayers } from "../../host/monitor/layers.ts";
import { checkLayers, findByDigest, MAX_LAYERS, pathsOf } from "../../snapshots/layers.ts";
import { BASE_FILE, type SavedFiles } from "../../snapshots/saved.ts";
import type { SnapshotManifest } from "../../snapshots/snapshot-manifest.ts";
import type { Snapshot } from "../../snapshots/snapshots.ts";
import type { Deadline } from "../../util/deadline.ts";
import { rmSync } from "../../util/files-go.ts";
import type { Home } from "../home.ts";

/** With more of its own than that, in percent of what it holds, a file is kept whole: it would need another for little. */
const MAX_OWN_PERCENT = 50;

/** What a snapshot is the difference to, and which of its files are one. */
export interface Difference {
  readonly base: NonNullable<SnapshotManifest["base"]>;
  readonly disk: boolean;
  readonly memory: boolean;
}

/**
 * Leaves of what was saved what the snapshot that the sandbox went on from does not have. That one cannot be removed from then on.
 * @param digest of that one
 * @returns undefined: it stays whole, because that one is gone or damaged, or has too little in common with it
 * @throws SmolVMError HOST_FAILED, NO_SPACE, TIMEOUT, ABORTED
 */
export async function keepDifference(
  home: Home,
  work: SavedFiles,
  digest: string | undefined,
  deadline: Deadline,
): Promise<Difference | undefined> {
  if (digest === undefined) return undefined;
  const note = join(work.dir, BASE_FILE);
  // Whoever removes it looks for notes of those in the making (manage.ts), and does so while nobody else does either.
  const base = home.store.exclusively(() => {
    const found = findByDigest(home.paths, digest);
    if (found !== undefined) writeFileSync(note, digest, { mode: 0o600 });
    return found;
  });
  const layers = base === undefined ? undefined : usable(home, base);
  if (base === undefined || layers === undefined) {
    rmSync(note, { force: true });
    return undefined;
  }
  failpoint("before difference");
  const made = { disk: false, memory: false };
  for (const what of ["disk", "memory"] as const) {
    const file = { path: work[what], map: what === "disk" ? work.diskMap : work.memoryMap };
    const below = pathsOf(layers, what);
    if (!existsSync(file.path) || !areOfOneSize(file.path, below[0]!.path)) continue;
    made[what] = await subtractLayers(file, below, MAX_OWN_PERCENT, deadline);
  }
  failpoint("after difference");
  if (made.disk || made.memory) return { base: { digest, name: base.manifest.name }, ...made };
  rmSync(note, { force: true });
  return undefined;
}

function usable(home: Home, base: Snapshot): readonly Snapshot[] | undefined {
  try {
    const { layers } = checkLayers(home.paths, base);
    return layers.length < MAX_LAYERS ? layers : undefined;
  } catch {
    return undefined; // nothing can be restored from it: nothing should need it
  }
}

function areOfOneSize(a: string, b: string): boolean {
  const size = statSync(b, { throwIfNoEntry: false })?.size; // a disk alone has no memory
  return size === statSync(a).size;
}
