import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { failpoint } from "../../host/failpoint.ts";
import { identify } from "../../host/process/process-identity.ts";
import { MAKER_FILE, type SavedFiles } from "../../snapshots/saved.ts";
import type { SnapshotManifest } from "../../snapshots/snapshot-manifest.ts";
import { findSnapshot, makeWorkDir, publishSnapshot, type Snapshot } from "../../snapshots/snapshots.ts";
import type { Home } from "../home.ts";
import { newId } from "../lifecycle/names.ts";

/**
 * Runs `act` with a directory for what is in the making; what is still there afterwards is removed.
 * @param act what makes it; with `keep` it becomes the snapshot that its manifest names (SNAPSHOT_EXISTS)
 */
export async function withWorkDir<T>(
  { paths }: Home,
  act: (work: SavedFiles, keep: (manifest: SnapshotManifest) => Snapshot) => Promise<T>,
): Promise<T> {
  const work = makeWorkDir(paths, newId());
  const maker = join(work.dir, MAKER_FILE);
  try {
    writeFileSync(maker, JSON.stringify(identify(process.pid)), { mode: 0o600 });
    return await act(work, (manifest) => {
      writeFileSync(work.manifest, JSON.stringify(manifest), { mode: 0o600 });
      failpoint("before snapshot");
      rmSync(maker);
      publishSnapshot(paths, work, manifest.name);
      return findSnapshot(paths, manifest.name);
    });
  } finally {
    rmSync(work.dir, { recursive: true, force: true });
  }
}
