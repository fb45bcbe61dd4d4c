import type { VmSpec } from "../config/spec.ts";
import type { MachineFacts } from "./machine-facts.ts";
import type { FileStamp } from "./manifest.ts";

/** What a snapshot holds: memory, devices and disk of one moment, or the disk alone. */
export type SnapshotKind = "full" | "disk";

/** The one format so far. */
export const SNAPSHOT_FORMAT = 1;

/** What is written beside a snapshot's files when it is whole. */
export interface SnapshotManifest {
  readonly format: typeof SNAPSHOT_FORMAT;
  readonly name: string;
  readonly kind: SnapshotKind;
  /** ms since the epoch */
  readonly createdAt: number;
  /** the sandbox that it was taken of */
  readonly source: { readonly id: string; readonly name: string };
  /** that sandbox's; paths of its own disk are those that it had */
  readonly spec: VmSpec;
  readonly disk: FileStamp;
  /** absent for a disk alone */
  readonly memory?: {
    readonly file: FileStamp;
    /** SHA-256 of the state of its devices, hex */
    readonly stateSha256: string;
    /** what it must go on with */
    readonly facts: MachineFacts;
    /** how long the sandbox stood still for it, in ms */
    readonly stoppedMs: number;
  };
}
