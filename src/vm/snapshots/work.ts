import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { failpoint } from "../../host/failpoint.ts";
import { identify } from "../../host/process/process-identity.ts";
import { BASE_FILE, MAKER_FILE, type SavedFiles, snapshotsDir } from "../../snapshots/saved.ts";
import type { SnapshotManifest } from "../../snapshots/snapshot-manifest.ts";
import { findSnapshot, makeWorkDir, publishSnapshot, type Snapshot } from "../../snapshots/snapshots.ts";
import { orNoSpace } from "../../util/no-space.ts";
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
  const id = newId();
  let work: SavedFiles | undefined;
  try {
    work = makeWorkDir(paths, id);
    writeFileSync(join(work.dir, MAKER_FILE), JSON.stringify(identify(process.pid)), { mode: 0o600 });
    const files = work;
    return await act(files, (manifest) => {
      writeFileSync(files.manifest, JSON.stringify(manifest), { mode: 0o600 });
      failpoint("before snapshot");
      publishSnapshot(paths, files, manifest.name);
      failpoint("after snapshot");
      const made = findSnapshot(paths, manifest.name);
      for (const name of [MAKER_FILE, BASE_FILE]) rmSync(join(made.files.dir, name), { force: true });
      return made;
    });
  } catch (error) {
    const root = snapshotsDir(paths);
    throw orNoSpace(error, `no space left in '${root}'`, root);
  } finally {
    if (work !== undefined) rmSync(work.dir, { recursive: true, force: true });
  }
}
