import type { SmolVMError } from "../errors.ts";
import type { SavedMemory } from "./saved.ts";
import { checkSnapshot, damaged, listSnapshots, type Snapshot, type SnapshotDirs } from "./snapshots.ts";

/**
 * How many snapshots one may need, itself among them. Each is looked at and joined when a sandbox is restored; one more is kept whole.
 */
export const MAX_LAYERS = 8;

/** A file of a layer: whole, or with the map of what is its own. */
export interface LayerPath {
  readonly path: string;
  readonly map?: string;
}

/** The snapshot of that digest, if it is there. */
export function findByDigest(dirs: SnapshotDirs, digest: string): Snapshot | undefined {
  return listSnapshots(dirs).find((snapshot) => snapshot.digest === digest);
}

/**
 * What a snapshot needs: those that it is the difference to, the lowest first, and itself, each as it was saved. The large files are not read.
 * @returns these, and its own memory; undefined for a disk alone
 * @throws SmolVMError SNAPSHOT_INVALID: one is damaged, or missing
 */
export function checkLayers(
  dirs: SnapshotDirs,
  snapshot: Snapshot,
): { readonly layers: readonly Snapshot[]; readonly own: SavedMemory | undefined } {
  const own = checkSnapshot(snapshot);
  const layers = [snapshot];
  for (;;) {
    const { base } = layers[0]!.manifest;
    if (base === undefined) return { layers, own };
    const below = findByDigest(dirs, base.digest);
    if (below === undefined || layers.length === MAX_LAYERS)
      throw needs(snapshot, base.name, "which is missing or was changed");
    try {
      checkSnapshot(below);
    } catch (error) {
      throw needs(snapshot, below.manifest.name, `which is damaged (${(error as Error).message})`, error);
    }
    layers.unshift(below);
  }
}

/** The files of which a snapshot's memory or disk consists, the lowest first. Pure. */
export function pathsOf(layers: readonly Snapshot[], what: "memory" | "disk"): LayerPath[] {
  const paths: LayerPath[] = [];
  for (const { manifest, files } of [...layers].reverse()) {
    const map = what === "disk" ? manifest.diskMapSha256 : manifest.memory?.mapSha256;
    if (map === undefined) return [{ path: files[what] }, ...paths];
    paths.unshift({ path: files[what], map: what === "disk" ? files.diskMap : files.memoryMap });
  }
  return paths;
}

/** Those that need a snapshot, in an order in which they can be removed. */
export function usersOf(dirs: SnapshotDirs, digest: string): Snapshot[] {
  const all = listSnapshots(dirs);
  const found = new Set<Snapshot>();
  const visit = (wanted: string): void => {
    for (const snapshot of all) {
      if (snapshot.manifest.base?.digest !== wanted || found.has(snapshot)) continue;
      visit(snapshot.digest);
      found.add(snapshot);
    }
  };
  visit(digest);
  return [...found];
}

function needs({ manifest: { name } }: Snapshot, base: string, why: string, cause?: unknown): SmolVMError {
  return damaged(name, `it is kept as the difference to '${base}', ${why}`, cause);
}
