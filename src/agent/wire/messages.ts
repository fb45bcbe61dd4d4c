import { message, type Schema } from "./schema.ts";

/*
 * Every message of PROTOCOL.md, section 3, as a type and a schema of the same name. Decoded numbers, bytes, strings and
 * booleans are always there (0, empty, false when absent); sub-messages are undefined when absent.
 */

/** Lowest and highest protocol version that this library speaks. */
export const MIN_VERSION = 1;
export const MAX_VERSION = 1;

/** Length of a session's nonce, in bytes. */
export const NONCE_BYTES = 16;

// biome-ignore lint/complexity/noBannedTypes: an empty message has no fields
export type Empty = {};
export const Empty: Schema<Empty> = message("Empty", []);

// --- the session

export interface Hello {
  minVersion: number;
  maxVersion: number;
  nonce: Uint8Array;
  client: string;
  /** the token of a suspended session that is to go on, else empty */
  resume: Uint8Array;
  /** it knows SUSPEND */
  resumes: boolean;
}
export const Hello: Schema<Hello> = message("Hello", [
  [1, "minVersion", "uint32"],
  [2, "maxVersion", "uint32"],
  [3, "nonce", "bytes"],
  [4, "client", "string"],
  [5, "resume", "bytes"],
  [6, "resumes", "bool"],
]);

export interface HelloAck {
  version: number;
  nonce: Uint8Array;
  /** the agent's version, e.g. "0.1.0" */
  agent: string;
  /** the guest kernel's boot id */
  bootId: string;
  /** Configure was done since boot */
  configured: boolean;
  /** the session goes on that the hello named */
  resumed: boolean;
}
export const HelloAck: Schema<HelloAck> = message("HelloAck", [
  [1, "version", "uint32"],
  [2, "nonce", "bytes"],
  [3, "agent", "string"],
  [4, "bootId", "string"],
  [5, "configured", "bool"],
  [6, "resumed", "bool"],
]);

export interface Hold {
  /** the sessions part from their connections before */
  suspend: boolean;
}
export const Hold: Schema<Hold> = message("Hold", [[1, "suspend", "bool"]]);

export interface Goodbye {
  reason: string;
}
export const Goodbye: Schema<Goodbye> = message("Goodbye", [[1, "reason", "string"]]);

// --- processes

export interface Size {
  cols: number;
  rows: number;
}
export const Size: Schema<Size> = message("Size", [
  [1, "cols", "uint32"],
  [2, "rows", "uint32"],
]);

export interface Control {
  signal: number;
  resize: Size | undefined;
}
export const Control: Schema<Control> = message("Control", [
  [1, "signal", "uint32"],
  [2, "resize", Size],
]);

/** What commands may take. 0: no limit. */
export interface Limits {
  /** processes and threads */
  pids: number;
  memoryBytes: number;
}
export const Limits: Schema<Limits> = message("Limits", [
  [1, "pids", "uint32"],
  [2, "memoryBytes", "uint64"],
]);

export interface Exec {
  argv: Uint8Array[];
  shell: Uint8Array;
  env: Uint8Array[];
  cwd: Uint8Array;
  user: Uint8Array;
  pty: Size | undefined;
  detached: boolean;
  stdin: boolean;
  /** its own, instead of each command's */
  limits: Limits | undefined;
}
export const Exec: Schema<Exec> = message("Exec", [
  [1, "argv", "bytes", "repeated"],
  [2, "shell", "bytes"],
  [3, "env", "bytes", "repeated"],
  [4, "cwd", "bytes"],
  [5, "user", "bytes"],
  [6, "pty", Size],
  [7, "detached", "bool"],
  [8, "stdin", "bool"],
  [9, "limits", Limits],
]);

export interface Attach {
  process: number;
}
export const Attach: Schema<Attach> = message("Attach", [[1, "process", "uint32"]]);

export interface ProcessSignal {
  process: number;
  signal: number;
  tree: boolean;
}
export const ProcessSignal: Schema<ProcessSignal> = message("ProcessSignal", [
  [1, "process", "uint32"],
  [2, "signal", "uint32"],
  [3, "tree", "bool"],
]);

export interface Process {
  process: number;
  pid: number;
  argv: Uint8Array[];
  running: boolean;
  exitCode: number;
  signal: number;
  detached: boolean;
  pty: boolean;
  /** seconds since 1970 */
  startedS: number;
  user: Uint8Array;
  /** that there are of it now, threads included; 0: none, or the guest does not know */
  processes: number;
}
export const Process: Schema<Process> = message("Process", [
  [1, "process", "uint32"],
  [2, "pid", "uint32"],
  [3, "argv", "bytes", "repeated"],
  [4, "running", "bool"],
  [5, "exitCode", "uint32"],
  [6, "signal", "uint32"],
  [7, "detached", "bool"],
  [8, "pty", "bool"],
  [9, "startedS", "uint64"],
  [10, "user", "bytes"],
  [11, "processes", "uint32"],
]);

// --- files

/** FileInfo.type; a hard link only in a tree that is written; other: of old agents, what the numbers behind it tell apart */
export const FileType = {
  file: 1,
  directory: 2,
  symlink: 3,
  other: 4,
  hardLink: 5,
  fifo: 6,
  socket: 7,
  characterDevice: 8,
  blockDevice: 9,
} as const;

export interface FileInfo {
  path: Uint8Array;
  type: number;
  mode: number;
  size: number;
  mtimeS: number;
  mtimeNs: number;
  uid: number;
  gid: number;
  target: Uint8Array;
  /** 8 bytes, little-endian; like what follows not in trees, and not from old agents */
  inode: Uint8Array;
  /** 0: the file system keeps none */
  btimeS: number;
  btimeNs: number;
  /** opaque: another one after every change */
  version: Uint8Array;
}
export const FileInfo: Schema<FileInfo> = message("FileInfo", [
  [1, "path", "bytes"],
  [2, "type", "uint32"],
  [3, "mode", "uint32"],
  [4, "size", "uint64"],
  [5, "mtimeS", "uint64"],
  [6, "mtimeNs", "uint32"],
  [7, "uid", "uint32"],
  [8, "gid", "uint32"],
  [9, "target", "bytes"],
  [10, "inode", "bytes"],
  [11, "btimeS", "uint64"],
  [12, "btimeNs", "uint32"],
  [13, "version", "bytes"],
]);

export interface FileRead {
  path: Uint8Array;
  offset: number;
  length: number;
  user: Uint8Array;
}
export const FileRead: Schema<FileRead> = message("FileRead", [
  [1, "path", "bytes"],
  [2, "offset", "uint64"],
  [3, "length", "uint64"],
  [4, "user", "bytes"],
]);

export interface FileWrite {
  path: Uint8Array;
  mode: number;
  parents: boolean;
  mtimeS: number;
  mtimeNs: number;
  exclusive: boolean;
  user: Uint8Array;
  append: boolean;
  /** what is to be there; empty: whatever is */
  ifVersion: Uint8Array;
}
export const FileWrite: Schema<FileWrite> = message("FileWrite", [
  [1, "path", "bytes"],
  [2, "mode", "uint32"],
  [3, "parents", "bool"],
  [4, "mtimeS", "uint64"],
  [5, "mtimeNs", "uint32"],
  [6, "exclusive", "bool"],
  [7, "user", "bytes"],
  [8, "append", "bool"],
  [9, "ifVersion", "bytes"],
]);

export interface Stat {
  path: Uint8Array;
  follow: boolean;
  user: Uint8Array;
}
export const Stat: Schema<Stat> = message("Stat", [
  [1, "path", "bytes"],
  [2, "follow", "bool"],
  [3, "user", "bytes"],
]);

export interface List {
  path: Uint8Array;
  user: Uint8Array;
  /** levels; 0 is 1 */
  depth: number;
}
export const List: Schema<List> = message("List", [
  [1, "path", "bytes"],
  [2, "user", "bytes"],
  [3, "depth", "uint32"],
]);

export interface Mkdir {
  path: Uint8Array;
  parents: boolean;
  mode: number;
  user: Uint8Array;
}
export const Mkdir: Schema<Mkdir> = message("Mkdir", [
  [1, "path", "bytes"],
  [2, "parents", "bool"],
  [3, "mode", "uint32"],
  [4, "user", "bytes"],
]);

export interface Remove {
  path: Uint8Array;
  recursive: boolean;
  force: boolean;
  user: Uint8Array;
}
export const Remove: Schema<Remove> = message("Remove", [
  [1, "path", "bytes"],
  [2, "recursive", "bool"],
  [3, "force", "bool"],
  [4, "user", "bytes"],
]);

export interface Rename {
  from: Uint8Array;
  to: Uint8Array;
  replace: boolean;
  user: Uint8Array;
}
export const Rename: Schema<Rename> = message("Rename", [
  [1, "from", "bytes"],
  [2, "to", "bytes"],
  [3, "replace", "bool"],
  [4, "user", "bytes"],
]);

export interface FileCopy {
  from: Uint8Array;
  to: Uint8Array;
  replace: boolean;
  user: Uint8Array;
  recursive: boolean;
  parents: boolean;
}
export const FileCopy: Schema<FileCopy> = message("FileCopy", [
  [1, "from", "bytes"],
  [2, "to", "bytes"],
  [3, "replace", "bool"],
  [4, "user", "bytes"],
  [5, "recursive", "bool"],
  [6, "parents", "bool"],
]);

export interface FileWatch {
  path: Uint8Array;
  recursive: boolean;
  user: Uint8Array;
}
export const FileWatch: Schema<FileWatch> = message("FileWatch", [
  [1, "path", "bytes"],
  [2, "recursive", "bool"],
  [3, "user", "bytes"],
]);

/** FileEvent.kind */
export const FileEventKind = { created: 1, changed: 2, removed: 3, renamed: 4, overflow: 5 } as const;

export interface FileEvent {
  kind: number;
  path: Uint8Array;
  from: Uint8Array;
  directory: boolean;
}
export const FileEvent: Schema<FileEvent> = message("FileEvent", [
  [1, "kind", "uint32"],
  [2, "path", "bytes"],
  [3, "from", "bytes"],
  [4, "directory", "bool"],
]);

export interface TreeRead {
  path: Uint8Array;
  user: Uint8Array;
}
export const TreeRead: Schema<TreeRead> = message("TreeRead", [
  [1, "path", "bytes"],
  [2, "user", "bytes"],
]);

export interface TreeWrite {
  path: Uint8Array;
  user: Uint8Array;
  keepOwner: boolean;
}
export const TreeWrite: Schema<TreeWrite> = message("TreeWrite", [
  [1, "path", "bytes"],
  [2, "user", "bytes"],
  [3, "keepOwner", "bool"],
]);

export interface Attribute {
  name: Uint8Array;
  value: Uint8Array;
}
const Attribute: Schema<Attribute> = message("Attribute", [
  [1, "name", "bytes"],
  [2, "value", "bytes"],
]);

export interface TreeRecord {
  entry: FileInfo | undefined;
  data: Uint8Array;
  end: boolean;
  /** extended attributes of the entry; only what is written has some */
  attributes: Attribute[];
}
export const TreeRecord: Schema<TreeRecord> = message("TreeRecord", [
  [1, "entry", FileInfo],
  [2, "data", "bytes"],
  [3, "end", "bool"],
  [9, "attributes", Attribute, "repeated"],
]);

/** What of the disk is wanted: what lies over the base, or the base. */
export interface Difference {
  /** content of files that were not changed after this is not */
  sinceS: number;
  sinceNs: number;
  base: boolean;
  path: Uint8Array;
  /** of a directory of the host that is an overlay there; empty: of the root */
  overlay: Uint8Array;
}
export const Difference: Schema<Difference> = message("Difference", [
  [1, "sinceS", "uint64"],
  [2, "sinceNs", "uint32"],
  [3, "base", "bool"],
  [4, "path", "bytes"],
  [5, "overlay", "bytes"],
]);

export interface DifferenceRecord {
  entry: FileInfo | undefined;
  data: Uint8Array;
  end: boolean;
  /** path of what the base has and programs do not see */
  removed: Uint8Array;
  /** of a directory: programs see nothing of what the base has there */
  opaque: boolean;
  /** of a file: its content was not wanted, and no `end` comes */
  same: boolean;
  /** of a device */
  major: number;
  minor: number;
  attributes: Attribute[];
}
export const DifferenceRecord: Schema<DifferenceRecord> = message("DifferenceRecord", [
  [1, "entry", FileInfo],
  [2, "data", "bytes"],
  [3, "end", "bool"],
  [4, "removed", "bytes"],
  [5, "opaque", "bool"],
  [6, "same", "bool"],
  [7, "major", "uint32"],
  [8, "minor", "uint32"],
  [9, "attributes", Attribute, "repeated"],
]);

// --- the machine

export interface Forward {
  host: Uint8Array;
  port: number;
  unix: Uint8Array;
}
export const Forward: Schema<Forward> = message("Forward", [
  [1, "host", "bytes"],
  [2, "port", "uint32"],
  [3, "unix", "bytes"],
]);

export interface Shutdown {
  graceMs: number;
  /** what commands get instead of SIGTERM */
  signal: number;
}
export const Shutdown: Schema<Shutdown> = message("Shutdown", [
  [1, "graceMs", "uint32"],
  [2, "signal", "uint32"],
]);

export interface Network {
  interface: Uint8Array;
  address: Uint8Array;
  gateway: Uint8Array;
  dns: Uint8Array[];
  mtu: number;
  ipv6Address: Uint8Array;
  ipv6Gateway: Uint8Array;
  mac: Uint8Array;
  /** no interface, but the agent's door */
  door: boolean;
  /** the interface goes down, and loses its address */
  down: boolean;
}
export const Network: Schema<Network> = message("Network", [
  [1, "interface", "bytes"],
  [2, "address", "bytes"],
  [3, "gateway", "bytes"],
  [4, "dns", "bytes", "repeated"],
  [5, "mtu", "uint32"],
  [6, "ipv6Address", "bytes"],
  [7, "ipv6Gateway", "bytes"],
  [8, "mac", "bytes"],
  [9, "door", "bool"],
  [10, "down", "bool"],
]);

export interface Mount {
  serial: Uint8Array;
  path: Uint8Array;
  kind: Uint8Array;
  readOnly: boolean;
}
export const Mount: Schema<Mount> = message("Mount", [
  [1, "serial", "bytes"],
  [2, "path", "bytes"],
  [3, "kind", "bytes"],
  [4, "readOnly", "bool"],
]);

/** The image's init that is to run. */
export interface Init {
  /** empty: the one that is where images have theirs */
  argv: Uint8Array[];
  env: Uint8Array[];
}
export const Init: Schema<Init> = message("Init", [
  [1, "argv", "bytes", "repeated"],
  [2, "env", "bytes", "repeated"],
]);

export interface Configure {
  entropy: Uint8Array;
  clockS: number;
  clockNs: number;
  hostname: Uint8Array;
  machineId: Uint8Array;
  network: Network | undefined;
  diskBytes: number;
  generation: Uint8Array;
  /** of all commands together */
  limits: Limits | undefined;
  mounts: Mount[];
  workdir: Uint8Array;
  user: Uint8Array;
  init: Init | undefined;
}
export const Configure: Schema<Configure> = message("Configure", [
  [1, "entropy", "bytes"],
  [2, "clockS", "uint64"],
  [3, "clockNs", "uint32"],
  [4, "hostname", "bytes"],
  [5, "machineId", "bytes"],
  [6, "network", Network],
  [7, "diskBytes", "uint64"],
  [8, "generation", "bytes"],
  [9, "limits", Limits],
  [10, "mounts", Mount, "repeated"],
  [11, "workdir", "bytes"],
  [12, "user", "bytes"],
  [13, "init", Init],
]);

export interface Info {
  agent: string;
  kernel: string;
  bootId: string;
  uptimeMs: number;
  memTotalBytes: number;
  memAvailableBytes: number;
  diskTotalBytes: number;
  diskFreeBytes: number;
  hostname: string;
  clockS: number;
  clockNs: number;
  processes: number;
  /** cgroup controllers that are on for commands */
  controllers: string[];
  /** of all commands together */
  limits: Limits | undefined;
  /** of a command that asks for nothing else */
  commandLimits: Limits | undefined;
  mounts: number;
  /** the image's init, by the number of its process; 0: none runs */
  init: number;
}
export const Info: Schema<Info> = message("Info", [
  [1, "agent", "string"],
  [2, "kernel", "string"],
  [3, "bootId", "string"],
  [4, "uptimeMs", "uint64"],
  [5, "memTotalBytes", "uint64"],
  [6, "memAvailableBytes", "uint64"],
  [7, "diskTotalBytes", "uint64"],
  [8, "diskFreeBytes", "uint64"],
  [9, "hostname", "string"],
  [10, "clockS", "uint64"],
  [11, "clockNs", "uint32"],
  [12, "processes", "uint32"],
  [13, "controllers", "string", "repeated"],
  [14, "limits", Limits],
  [15, "commandLimits", Limits],
  [16, "mounts", "uint32"],
  [17, "init", "uint32"],
]);

// --- requests and answers

export interface DoorAccept {
  connection: number;
  /** the next connection that comes instead */
  next: boolean;
}
export const DoorAccept: Schema<DoorAccept> = message("DoorAccept", [
  [1, "connection", "uint32"],
  [2, "next", "bool"],
]);

export interface Bring {
  port: number;
}
export const Bring: Schema<Bring> = message("Bring", [[1, "port", "uint32"]]);

/** A connection that leaves the guest: one record of `door`, and what came to a `doorAccept` of the next one. */
export interface DoorConnection {
  connection: number;
  /** what its address stands for; empty: nothing */
  name: Uint8Array;
  /** 4 or 16 octets; empty where there is a name */
  address: Uint8Array;
  port: number;
}
export const DoorConnection: Schema<DoorConnection> = message("DoorConnection", [
  [1, "connection", "uint32"],
  [2, "name", "bytes"],
  [3, "address", "bytes"],
  [4, "port", "uint32"],
]);

/** A request: exactly one of the members other than `window` and `clockMs`. */
export interface Open {
  exec: Exec | undefined;
  attach: Attach | undefined;
  processList: Empty | undefined;
  processSignal: ProcessSignal | undefined;
  fileRead: FileRead | undefined;
  fileWrite: FileWrite | undefined;
  stat: Stat | undefined;
  list: List | undefined;
  mkdir: Mkdir | undefined;
  remove: Remove | undefined;
  rename: Rename | undefined;
  treeRead: TreeRead | undefined;
  treeWrite: TreeWrite | undefined;
  forward: Forward | undefined;
  sync: Empty | undefined;
  shutdown: Shutdown | undefined;
  configure: Configure | undefined;
  info: Empty | undefined;
  hold: Hold | undefined;
  fileWatch: FileWatch | undefined;
  fileCopy: FileCopy | undefined;
  door: Empty | undefined;
  doorAccept: DoorAccept | undefined;
  bring: Bring | undefined;
  difference: Difference | undefined;
  release: Empty | undefined;
  window: number;
  clockMs: number;
}
export const Open: Schema<Open> = message("Open", [
  [1, "exec", Exec],
  [2, "attach", Attach],
  [3, "processList", Empty],
  [4, "processSignal", ProcessSignal],
  [5, "fileRead", FileRead],
  [6, "fileWrite", FileWrite],
  [7, "stat", Stat],
  [8, "list", List],
  [9, "mkdir", Mkdir],
  [10, "remove", Remove],
  [11, "rename", Rename],
  [12, "treeRead", TreeRead],
  [13, "treeWrite", TreeWrite],
  [14, "forward", Forward],
  [15, "sync", Empty],
  [16, "shutdown", Shutdown],
  [17, "configure", Configure],
  [18, "info", Empty],
  [19, "hold", Hold],
  [20, "fileWatch", FileWatch],
  [21, "fileCopy", FileCopy],
  [22, "door", Empty],
  [23, "doorAccept", DoorAccept],
  [24, "bring", Bring],
  [28, "difference", Difference],
  [29, "release", Empty],
  [30, "window", "uint32"],
  [31, "clockMs", "uint64"],
]);

/** Name of a request, as the member of {@link Open}. */
export type RequestName = Exclude<keyof Open, "window" | "clockMs">;

export interface Opened {
  process: number;
  pid: number;
  file: FileInfo | undefined;
  connection: DoorConnection | undefined;
}
export const Opened: Schema<Opened> = message("Opened", [
  [1, "process", "uint32"],
  [2, "pid", "uint32"],
  [3, "file", FileInfo],
  [6, "connection", DoorConnection],
]);

/** Why the guest refused or failed a request. */
export interface GuestError {
  code: number;
  message: string;
  /** Linux errno, 0 if none */
  errno: number;
  /** NO_SPACE: no more files can be made, whether or not there is space */
  noInodes: boolean;
  /** NO_SPACE: of a file system in memory */
  inMemory: boolean;
  /** LIMIT, of a command: those that have the most processes */
  holders: Process[];
}
export const GuestError: Schema<GuestError> = message("Error", [
  [1, "code", "uint32"],
  [2, "message", "string"],
  [3, "errno", "uint32"],
  [4, "noInodes", "bool"],
  [5, "inMemory", "bool"],
  [6, "holders", Process, "repeated"],
]);

/** Error.code */
export const GuestErrorCode = {
  INVALID: 1,
  NOT_FOUND: 2,
  EXISTS: 3,
  NOT_DIRECTORY: 4,
  IS_DIRECTORY: 5,
  NOT_EMPTY: 6,
  PERMISSION: 7,
  NO_SPACE: 8,
  IO: 9,
  UNSUPPORTED: 10,
  CANCELLED: 11,
  LIMIT: 12,
  NOT_EXECUTABLE: 13,
  TOO_LONG: 14,
  REFUSED: 15,
  UNREACHABLE: 16,
  NO_USER: 17,
  BUSY: 18,
  BAD_CWD: 19,
  RESET: 20,
  CROSS_DEVICE: 21,
  STOPPING: 22,
  CHANGED: 23,
} as const;

export interface Result {
  error: GuestError | undefined;
  exitCode: number;
  signal: number;
  dropped: number;
  file: FileInfo | undefined;
  process: number;
  pid: number;
  info: Info | undefined;
  entries: number;
  bytes: number;
  /** what was killed with all it started: nothing of it is left */
  allEnded: boolean;
  /** list: how many levels were told; 0 from old agents, which know one */
  depth: number;
  /** fileCopy: devices, fifos and sockets that were left out */
  skipped: number;
}
export const Result: Schema<Result> = message("Result", [
  [1, "error", GuestError],
  [2, "exitCode", "uint32"],
  [3, "signal", "uint32"],
  [4, "dropped", "uint64"],
  [5, "file", FileInfo],
  [6, "process", "uint32"],
  [7, "pid", "uint32"],
  [8, "info", Info],
  [9, "entries", "uint64"],
  [10, "bytes", "uint64"],
  [11, "allEnded", "bool"],
  [12, "depth", "uint32"],
  [13, "skipped", "uint64"],
]);
