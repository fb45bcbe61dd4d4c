import { isSmolVMError, SmolVMError } from "../../errors.ts";
import { failpoint } from "../../host/failpoint.ts";
import { usersOf } from "../../snapshots/layers.ts";
import { findSnapshot, listSnapshots, setAside } from "../../snapshots/snapshots.ts";
import { rmSync } from "../../util/files-go.ts";
import type { Home } from "../home.ts";
import { newId } from "../lifecycle/names.ts";
import { basesBeingUsed } from "../recovery/unfinished-snapshots.ts";
import { describeSnapshot, type SnapshotInfo } from "./describe.ts";

/** All of a home, oldest first. */
export function allSnapshots({ paths }: Home): SnapshotInfo[] {
  const all = listSnapshots(paths);
  return all.map((snapshot) => describeSnapshot(snapshot, all));
}

/** @throws SmolVMError SNAPSHOT_NOT_FOUND, SNAPSHOT_INVALID, CONFIG_INVALID */
export function oneSnapshot({ paths }: Home, name: string): SnapshotInfo {
  return describeSnapshot(findSnapshot(paths, name), listSnapshots(paths));
}

/** @throws SmolVMError SNAPSHOT_NOT_FOUND, SNAPSHOT_IN_USE (details.users), CONFIG_INVALID */
export function deleteSnapshot(home: Home, name: string): void {
  // Nobody begins to need it meanwhile (difference.ts).
  const aside = home.store.exclusively(() => {
    requireUnused(home, name);
    return setAside(home.paths, name, newId());
  });
  failpoint("before removed snapshot");
  rmSync(aside, { recursive: true, force: true });
}

function requireUnused(home: Home, name: string): void {
  const digest = digestOf(home, name);
  if (digest === undefined) return; // damaged: nothing can be restored from it
  // First those in the making: they may be made in between.
  const isBase = basesBeingUsed(home).has(digest);
  const users = usersOf(home.paths, digest).map(({ manifest }) => manifest.name);
  if (users.length > 0) {
    throw new SmolVMError(
      "SNAPSHOT_IN_USE",
      `snapshot '${name}' is needed by others, which are kept as the difference to it: ${users.join(", ")}`,
      { hint: `Remove those first: smolvm snapshot rm ${users.join(" ")}`, details: { name, users } },
    );
  }
  if (!isBase) return;
  throw new SmolVMError("SNAPSHOT_IN_USE", `snapshot '${name}' is needed by one that is being taken`, {
    hint: `Wait for that, then: smolvm snapshot rm ${name}`,
    details: { name, users },
  });
}

function digestOf({ paths }: Home, name: string): string | undefined {
  try {
    return findSnapshot(paths, name).digest;
  } catch (error) {
    if (isSmolVMError(error, "SNAPSHOT_INVALID")) return undefined;
    throw error;
  }
}
