export type { BringTarget, BroughtPort } from "./agent/door/bring.ts";
export type { Content, ReadOptions, ReadWholeOptions, WriteOptions } from "./agent/files/content.ts";
export type { DownloadOptions } from "./agent/files/download.ts";
export type { DownloadTarOptions } from "./agent/files/download-tar.ts";
export type { FileEvent } from "./agent/files/file-event.ts";
export type { GuestFiles } from "./agent/files/guest-files.ts";
export type { ListOptions } from "./agent/files/list.ts";
export type {
  CopyOptions,
  CopyResult,
  FileOptions,
  GuestFileInfo,
  TransferOptions,
  TransferProgress,
  TransferResult,
} from "./agent/files/types.ts";
export type { ArchiveSource, UploadTarOptions } from "./agent/files/upload-tar.ts";
export type { FileWatch, WatchOptions } from "./agent/files/watch.ts";
export type { FileToWrite } from "./agent/files/write-many.ts";
export type { ExposedPort, ExposeOptions } from "./agent/forward/expose.ts";
export { isRunError, RunError } from "./agent/process/run-error.ts";
export type {
  AttachOptions,
  Bytes,
  ExecOptions,
  FailedRun,
  GuestProcess,
  KillOptions,
  OutputChunk,
  OutputName,
  Overflow,
  ProcessExit,
  ProcessInfo,
  PtySize,
  RunOptions,
  RunOutput,
  RunResult,
  SpawnExit,
  SpawnOptions,
  StdinSource,
  StoppedBy,
} from "./agent/types.ts";
export type { BuildEvent, BuildOptions, BuiltImage, Images } from "./builder/types.ts";
export type { HostMount, MountCoherence, MountMode, MountSpec } from "./config/mounts.ts";
export type {
  ExtraDrive,
  Limits,
  NetworkOptions,
  PortForward,
  VMConfig,
} from "./config/options.ts";
export type { OnProgress, Progress } from "./config/progress.ts";
export type { BringPort, CommandLimits, CommandShare } from "./config/spec.ts";
export type { EventReason, NetworkEvent } from "./egress/event.ts";
export {
  ERROR_CODES,
  type Errno,
  type ErrorCode,
  type ErrorDetails,
  FILE_ERRNOS,
  isGone,
  isSmolVMError,
  SmolVMError,
} from "./errors.ts";
export type { ImageChanges } from "./images/layer/config-document.ts";
export { images } from "./images-of-user.ts";
export { SandboxPool } from "./sandbox-pool.ts";
export { SmolVM } from "./smolvm.ts";
export type { SnapshotKind } from "./snapshots/snapshot-manifest.ts";
export type { VmState } from "./store/states.ts";
export type { ListFilter } from "./store/vms.ts";
export type {
  CommitOptions,
  CommittedImage,
  FollowLogsOptions,
  ForkOptions,
  PoolOptions,
  Pools,
  Ports,
  Processes,
  RestoreOptions,
  ShellOptions,
  SnapshotOptions,
  Snapshots,
  StartOptions,
  TakeOptions,
} from "./types.ts";
export type { NetworkEventsOptions, SandboxNetwork } from "./vm/egress/network.ts";
export type { NetworkRules } from "./vm/egress/rules.ts";
export type { VMInfo } from "./vm/info/info.ts";
export type { VMStats } from "./vm/info/stats.ts";
export type { SandboxEnv } from "./vm/lifecycle/env.ts";
export type { MountFigures } from "./vm/mounts/answer.ts";
export type { MountInfo, UnmountOptions } from "./vm/mounts/mounts.ts";
export type { OverlayChange } from "./vm/mounts/overlay.ts";
export type { ApplyOptions, SandboxMounts } from "./vm/mounts/sandbox-mounts.ts";
export type { PublishedFilter, PublishedPort } from "./vm/network/publish.ts";
export type { PoolInfo } from "./vm/pool/manage.ts";
export type { Garbage } from "./vm/recovery/gc.ts";
export type { SnapshotInfo } from "./vm/snapshots/describe.ts";
