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
  /** what it takes on this machine's disk */
  readonly diskBytes: number;
  /** how long the sandbox stood still for it, in ms; undefined for a disk alone */
  readonly stoppedMs: number | undefined;
}

/** The public view of a snapshot. */
export function describeSnapshot(snapshot: Snapshot): SnapshotInfo {
  const { name, kind, createdAt, source, spec, memory } = snapshot.manifest;
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
    stoppedMs: memory === undefined ? undefined : Math.round(memory.stoppedMs * 10) / 10,
  };
}
