import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { isSmolVMError, SmolVMError } from "../../errors.ts";
import { failpoint } from "../../host/failpoint.ts";
import { identify } from "../../host/process/process-identity.ts";
import { BASE_FILE, MAKER_FILE, type SavedFiles, snapshotsDir } from "../../snapshots/saved.ts";
import type { SnapshotManifest } from "../../snapshots/snapshot-manifest.ts";
import { findSnapshot, makeWorkDir, publishSnapshot, type Snapshot } from "../../snapshots/snapshots.ts";
import { rmSync } from "../../util/files-go.ts";
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
    throw asNoSpace(error, snapshotsDir(paths), id);
  } finally {
    if (work !== undefined) rmSync(work.dir, { recursive: true, force: true });
  }
}

/** Of a full disk is said where it is: not by the name of what is gone by now. */
function asNoSpace(error: unknown, root: string, id: string): unknown {
  const isIn = isSmolVMError(error, "NO_SPACE") && error.message.includes(id);
  if (!isIn) return orNoSpace(error, `no space left in '${root}'`, root);
  return new SmolVMError("NO_SPACE", `no space left in '${root}'`, {
    hint: `Free some space (df -h '${root}'), or remove what is not needed: smolvm snapshot ls`,
    details: { directory: root },
    cause: error,
  });
}
