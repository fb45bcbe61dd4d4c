import { chmodSync, closeSync, fdatasyncSync, openSync } from "node:fs";
import { join } from "node:path";
import type { KeptCode } from "./manifest.ts";

/** A machine's memory that others go on from. */
export interface SavedMemory {
  /** the file: as large as the memory, sparse, mapped copy-on-write */
  readonly memory: string;
  /** of its CPUs and devices: the VMM's words */
  readonly state: Uint8Array;
  /** what it had translated */
  readonly code: KeptCode;
  /** nothing of QEMU's libslirp is in `state`: what is cannot go on without it */
  readonly withoutSlirp: boolean;
}

/** One that is being taken, or looked at, of which only the files are there: what goes on from it can be started meanwhile. */
export interface ComingMemory extends Pick<SavedMemory, "memory" | "withoutSlirp"> {
  /** the file that will have what it had translated; undefined: nothing will */
  readonly codePath: string | undefined;
  /** when all of it is there */
  readonly rest: Promise<RestOfSaved>;
}

/** What comes of it, and of its disk. */
export interface RestOfSaved extends Pick<SavedMemory, "state"> {
  /** comes last, and never rejects */
  readonly code: KeptCode | Promise<KeptCode>;
  /** pages that are other than `memory` has them: a file with these alone, and the map that says which they are */
  readonly pages?: { readonly file: string; readonly map: string } | undefined;
}

/** The files of a machine that was saved, in a directory of their own. */
export interface SavedFiles {
  readonly dir: string;
  /** what it is (snapshot-manifest.ts) */
  readonly manifest: string;
  /** absent for a disk alone */
  readonly memory: string;
  readonly state: string;
  /** what it had translated, if that was kept: of this machine alone, it is never handed on */
  readonly code: string;
  /** its own writable disk, as it is, sparse */
  readonly disk: string;
  /** which blocks of memory and disk are its own, where they are a difference (layers.ts) */
  readonly memoryMap: string;
  readonly diskMap: string;
}

/** Names the files of a saved machine. Pure. */
export function savedFiles(dir: string): SavedFiles {
  return {
    dir,
    manifest: join(dir, "manifest.json"),
    memory: join(dir, "memory"),
    state: join(dir, "state"),
    code: join(dir, "code"),
    disk: join(dir, "disk"),
    memoryMap: join(dir, "memory.map"),
    diskMap: join(dir, "disk.map"),
  };
}

/** In the directory of one that is in the making: its maker's process identity. */
export const MAKER_FILE = "maker.json";

/** And the digest of the snapshot that it is to be the difference to. */
export const BASE_FILE = "base";

/** How the name of a directory ends that is being removed. */
export const REMOVED = ".removed";

/** Where a home's snapshots are: a directory each, which is there only when it is whole. Those that begin with a dot are being made. */
export function snapshotsDir({ dataDir }: { readonly dataDir: string }): string {
  return join(dataDir, "snapshots");
}

/** What was written is on the disk for sure, and nobody writes to it any more; it lies in a directory that nobody else may enter. */
export function settleFiles(paths: readonly string[]): void {
  for (const path of paths) {
    const file = openSync(path, "r+");
    try {
      fdatasyncSync(file);
    } finally {
      closeSync(file);
    }
    chmodSync(path, 0o444);
  }
}
