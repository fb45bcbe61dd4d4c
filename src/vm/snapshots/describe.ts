import { MAX_LAYERS } from "../../snapshots/layers.ts";
import type { SnapshotKind } from "../../snapshots/snapshot-manifest.ts";
import { diskBytesOf, type Snapshot } from "../../snapshots/snapshots.ts";

/** What is known about a snapshot. */
export interface SnapshotInfo {
  readonly name: string;
  /** "full": memory, devices and disk of one moment; "disk": the disk alone */
  readonly kind: SnapshotKind;
  /** ISO 8601 */
  readonly createdAt: string;
  /** the sandbox that it was taken of; it may be gone */
  readonly source: { readonly id: string; readonly name: string };
  /** image reference, or "custom" */
  readonly image: string;
  readonly imageDigest: string | undefined;
  /** the files that it boots */
  readonly kernelPath: string;
  readonly initrdPath: string | undefined;
  readonly vcpuCount: number;
  readonly memSizeMib: number;
  readonly diskSizeMib: number;
  /** what it takes on this machine's disk, without those that it is the difference to */
  readonly diskBytes: number;
  /** SHA-256 of its manifest, hex: by this those that are the difference to it know it */
  readonly digest: string;
  /** name of the snapshot that it is kept as the difference to; undefined: it is whole */
  readonly base: string | undefined;
  /** what it consists of, the lowest first, itself last, each with what it takes of the disk; shorter where one is missing */
  readonly layers: readonly SnapshotLayer[];
  /** names of those that are kept as the difference to it: it cannot be removed before them */
  readonly users: readonly string[];
  /** how long the sandbox stood still for it, in ms; undefined for a disk alone */
  readonly stoppedMs: number | undefined;
}

/** A snapshot as a part of another. */
export interface SnapshotLayer {
  readonly name: string;
  readonly digest: string;
  readonly diskBytes: number;
}

/** The public view of a snapshot. @param all of its home */
export function describeSnapshot(snapshot: Snapshot, all: readonly Snapshot[]): SnapshotInfo {
  const { name, kind, createdAt, source, spec, memory, base } = snapshot.manifest;
  return {
    name,
    kind,
    createdAt: new Date(createdAt).toISOString(),
    source,
    image: spec.image || "custom",
    imageDigest: spec.imageDigest || undefined,
    kernelPath: spec.machine.kernelPath,
    initrdPath: spec.machine.initrdPath,
    vcpuCount: spec.machine.vcpuCount,
    memSizeMib: spec.machine.memSizeMib,
    diskSizeMib: spec.diskSizeMib,
    diskBytes: diskBytesOf(snapshot),
    digest: snapshot.digest,
    base: base?.name,
    layers: layersFor(snapshot, all).map((layer) => ({
      name: layer.manifest.name,
      digest: layer.digest,
      diskBytes: diskBytesOf(layer),
    })),
    users: all
      .filter(({ manifest }) => manifest.base?.digest === snapshot.digest)
      .map(({ manifest }) => manifest.name),
    stoppedMs: memory === undefined ? undefined : Math.round(memory.stoppedMs * 10) / 10,
  };
}

function layersFor(snapshot: Snapshot, all: readonly Snapshot[]): Snapshot[] {
  const layers = [snapshot];
  while (layers.length < MAX_LAYERS) {
    const below = all.find(({ digest }) => digest === layers[0]!.manifest.base?.digest);
    if (below === undefined) break;
    layers.unshift(below);
  }
  return layers;
}
