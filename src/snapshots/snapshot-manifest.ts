import type { VmSpec } from "../config/spec.ts";
import type { MachineFacts } from "./machine-facts.ts";
import type { FileStamp } from "./manifest.ts";

/** What a snapshot holds: memory, devices and disk of one moment, or the disk alone. */
export type SnapshotKind = "full" | "disk";

/** The format of one that is whole, and of one that is the difference to another. */
export const SNAPSHOT_FORMAT = 1;
export const DIFFERENCE_FORMAT = 2;

/** What is written beside a snapshot's files when it is whole. */
export interface SnapshotManifest {
  readonly format: typeof SNAPSHOT_FORMAT | typeof DIFFERENCE_FORMAT;
  readonly name: string;
  readonly kind: SnapshotKind;
  /** ms since the epoch */
  readonly createdAt: number;
  /** the sandbox that it was taken of */
  readonly source: { readonly id: string; readonly name: string };
  /** that sandbox's; paths of its own disk are those that it had */
  readonly spec: VmSpec;
  readonly disk: FileStamp;
  /** the snapshot to which it is the difference, by content; its name, which it may have lost, is for people. Absent: it is whole */
  readonly base?: { readonly digest: string; readonly name: string };
  /** SHA-256 of the map of its disk's own blocks, hex; absent: the disk is whole */
  readonly diskMapSha256?: string | undefined;
  /** absent for a disk alone */
  readonly memory?: {
    readonly file: FileStamp;
    /** the file of translated code, or why there is none; absent from before there were any */
    readonly code?: FileStamp | { readonly why: string };
    /** SHA-256 of the state of its devices, hex */
    readonly stateSha256: string;
    /** SHA-256 of the map of its memory's own pages, hex; absent: the memory is whole */
    readonly mapSha256?: string | undefined;
    /** nothing of QEMU's libslirp is in that state; absent: it is, if there was a network card, as in all from before there was another way */
    readonly withoutSlirp?: true | undefined;
    /** what it must go on with */
    readonly facts: MachineFacts;
    /** how long the sandbox stood still for it, in ms */
    readonly stoppedMs: number;
  };
}
