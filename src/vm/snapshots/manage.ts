import { findSnapshot, listSnapshots, removeSnapshot } from "../../snapshots/snapshots.ts";
import type { Home } from "../home.ts";
import { newId } from "../lifecycle/names.ts";
import { describeSnapshot, type SnapshotInfo } from "./describe.ts";

/** All of a home, oldest first. */
export function allSnapshots({ paths }: Home): SnapshotInfo[] {
  return listSnapshots(paths).map(describeSnapshot);
}

/** @throws SmolVMError SNAPSHOT_NOT_FOUND, SNAPSHOT_INVALID, CONFIG_INVALID */
export function oneSnapshot({ paths }: Home, name: string): SnapshotInfo {
  return describeSnapshot(findSnapshot(paths, name));
}

/** @throws SmolVMError SNAPSHOT_NOT_FOUND, CONFIG_INVALID */
export function deleteSnapshot({ paths }: Home, name: string): void {
  removeSnapshot(paths, name, newId());
}
