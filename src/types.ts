import type { BringTarget, BroughtPort } from "./agent/door/bring.ts";
import type { ExposedPort, ExposeOptions } from "./agent/forward/expose.ts";
import type { AttachOptions, GuestProcess, KillOptions, ProcessInfo } from "./agent/types.ts";
import type { HostMount } from "./config/mounts.ts";
import type { Limits, VMConfig } from "./config/options.ts";
import type { OnProgress } from "./config/progress.ts";
import type { Arch, Lifetime } from "./config/spec.ts";
import type { ImageChanges } from "./images/layer/config-document.ts";
import type { SnapshotKind } from "./snapshots/snapshot-manifest.ts";
import type { Json } from "./util/json.ts";
import type { PublishedFilter, PublishedPort } from "./vm/network/publish.ts";
import type { PoolInfo } from "./vm/pool/manage.ts";
import type { SnapshotInfo } from "./vm/snapshots/describe.ts";

/** Options of `SmolVM.start`. */
export interface StartOptions extends Limits {
  /** told about each stage; default what the sandbox was created with */
  onProgress?: OnProgress | undefined;
  /** for this start: as {@link VMConfig}'s `gdbPort` */
  gdbPort?: number | undefined;
}

/** Options of `SmolVM.followLogs`. */
export interface FollowLogsOptions extends Limits {
  /** of what is kept, only that many last lines */
  tailLines?: number | undefined;
}

/** Options of `SmolVM.shell`. */
export interface ShellOptions extends Limits {
  /** terminal size; default 80 x 24 */
  cols?: number | undefined;
  rows?: number | undefined;
  cwd?: string | undefined;
  env?: Record<string, string> | undefined;
  user?: string | undefined;
}

/** Options of `SmolVM.restore`. */
export interface RestoreOptions extends Limits {
  /** default: a generated one. It is the host name as well */
  name?: string | undefined;
  /** default none */
  labels?: Readonly<Record<string, Json>> | undefined;
  /** as {@link VMConfig}'s, in ms; default: none */
  ttlMs?: number | undefined;
  /** as {@link VMConfig}'s; default "owner" */
  lifetime?: Lifetime | undefined;
  /** as {@link VMConfig}'s; default: none. What the saved one had of the host, a new one has only if it is said again */
  mounts?: readonly HostMount[] | undefined;
  /** boots with the snapshot's disk and leaves its memory; default false */
  diskOnly?: boolean | undefined;
}

/** Options of `SmolVM.fork`. */
export interface ForkOptions extends Omit<RestoreOptions, "diskOnly"> {
  /** how many children, 1-1000; default 1. A `name` gets -1, -2, ... behind it if there are several */
  count?: number | undefined;
}

/** Options of `SandboxPool.take` and `SmolVM.take`. */
export type TakeOptions = Omit<RestoreOptions, "diskOnly">;

/** Options of {@link SandboxPool}: what its sandboxes are like, without what each has of its own (`name`, `labels`, `ttlMs`, `lifetime`, `hostname`, `ports`, `gdbPort`). */
export interface PoolOptions
  extends Omit<VMConfig, "name" | "labels" | "ttlMs" | "lifetime" | "hostname" | "ports" | "gdbPort"> {
  /** how many are to wait, 1-1000 */
  size: number;
}

/** The pools of this user that smolvm's supervisor keeps: `SmolVM.pools`. */
export interface Pools {
  /**
   * Makes one, and has it filled in the background from now on, also when this process has ended.
   * @throws SmolVMError POOL_EXISTS, CONFIG_INVALID, IMAGE_NOT_FOUND; NOT_SUPPORTED with SMOLVM_SUPERVISOR=off, HOST_FAILED
   */
  create(options: PoolOptions & { name: string } & Limits): Promise<PoolInfo>;
  /** All, those of processes too, oldest first. */
  list(): Promise<PoolInfo[]>;
  /** Removes one with what waits in it; what was taken stays. @throws SmolVMError POOL_NOT_FOUND, VM_STATE for one of another process */
  delete(name: string): Promise<void>;
}

/** Options of `SmolVM.snapshot`. */
export interface SnapshotOptions extends Limits {
  /**
   * "full": memory, devices and disk of one moment, to go on from; "disk": the disk alone, to boot with, of a sandbox in any state. Default "full"
   */
  kind?: SnapshotKind | undefined;
}

/** Options of `SmolVM.commit`. */
export interface CommitOptions extends Limits {
  /** what the image says otherwise than the one below */
  config?: ImageChanges | undefined;
  /** the same as instructions of a Dockerfile, such as `CMD ["app"]` or `ENV A=b`, after that */
  changes?: readonly string[] | undefined;
  author?: string | undefined;
  /** kept in the image's history */
  message?: string | undefined;
  /** told about each stage */
  onProgress?: OnProgress | undefined;
}

/** An image that was made of a sandbox, or by a Dockerfile. */
export interface CommittedImage {
  readonly name: string;
  /** of its manifest, "sha256:...": a registry that it is pushed to names it so */
  readonly digest: string;
  readonly arch: Arch;
  /** bytes of its files, here */
  readonly sizeBytes: number;
}

/** The snapshots of this user: `SmolVM.snapshots`. */
export interface Snapshots {
  /** All, oldest first; what is damaged is left out. */
  list(): Promise<SnapshotInfo[]>;
  /** @throws SmolVMError SNAPSHOT_NOT_FOUND, SNAPSHOT_INVALID, CONFIG_INVALID */
  get(name: string): Promise<SnapshotInfo>;
  /**
   * Writes one into a file (tar, compressed with zstd), for another machine or for later. The file holds what the sandbox held, secrets too.
   * @param path must not exist; it appears when it is whole
   * @throws SmolVMError SNAPSHOT_NOT_FOUND, SNAPSHOT_INVALID, FILE_EXISTS, NOT_SUPPORTED (its image is a file of your own), NO_SPACE, HOST_FAILED, TIMEOUT, ABORTED
   */
  export(name: string, path: string, limits?: Limits): Promise<void>;
  /**
   * Takes in such a file. Nothing of it is a snapshot before all of it has been verified. Of a full one only the disk is taken, unless `trust` is set: whoever
   * made the file decides what the VMM reads as its memory and devices, so its sandboxes then need at least the isolation `user`.
   * @param options `name`: another than it was exported with; `trust`: take its memory; default false
   * @throws SmolVMError SNAPSHOT_INVALID, SNAPSHOT_EXISTS, SNAPSHOT_INCOMPATIBLE (`details.reasons`), IMAGE_NOT_FOUND, FILE_NOT_FOUND, CONFIG_INVALID, NO_SPACE, TIMEOUT, ABORTED
   */
  import(path: string, options?: { name?: string; trust?: boolean } & Limits): Promise<SnapshotInfo>;
  /** Removes one; sandboxes that were restored from it keep what they have. @throws SmolVMError SNAPSHOT_NOT_FOUND, CONFIG_INVALID */
  delete(name: string): Promise<void>;
}

/** Guest ports that this process makes reachable on the host. */
export interface Ports {
  /**
   * Listens on the host and carries each connection to `guestPort` in the guest over the agent's channel,
   * so it works with `network: "off"` too. Ends with `close()`, with the sandbox, or with this process. What this object has open
   * already is given again, by `close()` closed for all: a `guestPort` at the same address and, where one is asked for, at that `hostPort`.
   * @throws SmolVMError PORT_IN_USE, VM_STATE
   */
  expose(guestPort: number, options?: ExposeOptions): Promise<ExposedPort>;
  /** those that this process has open now */
  list(): ExposedPort[];
  /**
   * Makes one service of this machine's, or of its network's, reachable at `guestPort` of the guest's 127.0.0.1: each connection there is made to `target` by this process, and
   * to nothing else, in every network mode. A sandbox with `network: "off"` then reaches that alone. Ends with `close()`, when the sandbox stops, or with this process.
   * @throws SmolVMError CONFIG_INVALID, PORT_IN_USE if a program of the sandbox listens there, VM_STATE, NOT_SUPPORTED by an agent of an older version
   */
  bring(guestPort: number, target: BringTarget): Promise<BroughtPort>;
  /**
   * Has a port forwarded whenever the sandbox runs, until it is unpublished or the sandbox is deleted: by smolvm's supervisor
   * in the background, so that it outlives this process. What is published already is given again: a `guestPort` at the same address and, where
   * one is asked for, at that `hostPort`.
   * @throws SmolVMError PORT_IN_USE, CONFIG_INVALID, VM_NOT_FOUND, NOT_SUPPORTED (with SMOLVM_SUPERVISOR=off), HOST_FAILED
   */
  publish(guestPort: number, options?: ExposeOptions & Limits): Promise<PublishedPort>;
  /**
   * Ends published ports: those that have all that is given; without a filter, all.
   * @throws SmolVMError CONFIG_INVALID if there is none such, VM_NOT_FOUND
   */
  unpublish(filter?: PublishedFilter): Promise<PublishedPort[]>;
  /** the published ones, whether the sandbox runs or not @throws SmolVMError VM_NOT_FOUND */
  published(): Promise<PublishedPort[]>;
}

/** Guest processes that smolvm started, by whichever host process. */
export interface Processes {
  /**
   * Those that run, of all sessions; those that have ended and left processes in the background (`running: false` and `processes` above 0; the
   * last 512); and the last 64 detached ones that have ended.
   * @throws SmolVMError TIMEOUT, ABORTED
   */
  list(limits?: Limits): Promise<ProcessInfo[]>;
  /**
   * Attaches to a detached process: what it printed lately (up to 256 KiB), then what it prints from now on, and its end. One at a
   * time may. Its limits, or dropping it, end the attaching and not the process; its promises reject with PROCESS_NOT_FOUND, or
   * VM_BUSY while somebody else is attached.
   */
  attach(id: number, options?: AttachOptions): GuestProcess;
  /**
   * Signals the process group of a process, or with `tree` everything that it started, whatever group that is in. Default SIGTERM. With
   * `tree` and SIGKILL it resolves when the guest's kernel says that nothing of it is left.
   * @throws SmolVMError PROCESS_NOT_FOUND, also when it has ended (with `tree`: and all it started); VM_BUSY if some of what was
   *   killed has not ended within 20 s
   */
  kill(id: number, signal?: NodeJS.Signals | number, options?: KillOptions): Promise<void>;
}
