import { isSmolVMError, SmolVMError } from "../../errors.ts";
import { findSnapshot, type Snapshot, type SnapshotDirs } from "../../snapshots/snapshots.ts";

/**
 * Does something with a snapshot's files, which are looked at by their names all the while. Where that fails and the snapshot has been removed
 * meanwhile, this is the reason, and not that some program found no file.
 * @throws SmolVMError SNAPSHOT_NOT_FOUND, SNAPSHOT_INVALID, CONFIG_INVALID, and as `use`
 */
export async function useSnapshot<Result>(
  dirs: SnapshotDirs,
  name: string,
  use: (snapshot: Snapshot) => Promise<Result>,
): Promise<Result> {
  const snapshot = findSnapshot(dirs, name);
  try {
    return await use(snapshot);
  } catch (error) {
    if (isSmolVMError(error, "ABORTED") || isSmolVMError(error, "TIMEOUT")) throw error;
    if (findSnapshot(dirs, name).digest === snapshot.digest) throw error;
    throw new SmolVMError("SNAPSHOT_NOT_FOUND", `snapshot '${name}' was removed, and another has its name`, {
      hint: "Do it again, if that one is meant. Which it is: smolvm snapshot inspect NAME",
      details: { name },
      cause: error,
    });
  }
}
