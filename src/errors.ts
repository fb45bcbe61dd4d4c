/**
 * Every error code with its one line of meaning. The errors page of the docs is made from this table.
 * Codes are stable: a code is never renamed, and its meaning is never narrowed.
 */
export const ERROR_CODES = {
  BACKEND_UNSUPPORTED: "the backend's name is not one of auto, firecracker, qemu",
  BACKEND_UNAVAILABLE: "the chosen backend cannot run on this host",
  KVM_UNAVAILABLE: "hardware virtualization was asked for and this host cannot give it",
  ISOLATION_UNAVAILABLE: "the isolation that was asked for cannot be had on this host",
  CONFIG_INVALID: "an option, name or argument is not acceptable",
  NOT_SUPPORTED: "the feature exists in the design but not in this version, backend or host",
  USAGE: "the command line was not understood",
  ROOT_REQUIRED: "this changes the machine and needs root",
  DEPENDENCY_MISSING: "a program this needs is not installed",
  IMAGE_NOT_FOUND: "no image of that name is in the image store",
  IMAGE_INVALID: "an image, kernel or disk file is damaged or of an unknown format",
  IMAGE_BUILD_FAILED: "building an image failed",
  DOCKERFILE_INVALID: "a Dockerfile is not understood, or asks for what there is not (details.line)",
  STEP_FAILED: "an instruction of a Dockerfile failed (details.line, details.exitCode, details.output)",
  IMAGE_IN_USE: "the image is used by a sandbox",
  REGISTRY_AUTH: "a registry wants a login, or does not let this one have the image",
  REGISTRY_LIMITED: "a registry answers no more for now: its rate limit is used up",
  REGISTRY_FAILED: "a registry could not be reached, or did not answer as one",
  VM_NOT_FOUND: "no sandbox has that name or id",
  VM_NAME_TAKEN: "a sandbox of that name exists",
  VM_STATE: "the sandbox is not in a state that allows this",
  VM_BUSY: "another process is changing this sandbox",
  BOOT_TIMEOUT: "the guest did not answer within the boot's deadline",
  BOOT_FAILED: "the guest or its machine ended while booting",
  VMM_FAILED: "the virtual machine monitor could not be started or answered with an error",
  AGENT_LOST: "the channel to the guest ended",
  AGENT_PROTOCOL: "the guest broke the rules of the agent protocol",
  AGENT_VERSION: "the guest's agent and this library speak no common version",
  CHANNEL_BUSY: "all session ports of the sandbox are in use by other processes",
  OUTCOME_UNKNOWN:
    "the channel ended after a request was sent: it may or may not have been carried out, or how a command ended that ran is not known",
  TIMEOUT: "an operation other than a command did not finish within its time",
  ABORTED: "the caller's signal aborted an operation other than a command",
  RUN_TIMEOUT:
    "the command did not finish within its time, and was killed with all it started (details.killed says how far)",
  RUN_ABORTED:
    "the caller's signal aborted the command, and it was killed with all it started (details.killed says how far)",
  RUN_FAILED: "the command ended with a non-zero exit code or a signal, and check was set",
  COMMAND_NOT_FOUND: "the guest has no such program",
  COMMAND_NOT_EXECUTABLE: "the program exists in the guest and cannot be executed",
  ARGUMENTS_TOO_LONG: "arguments and environment exceed what the guest's kernel or the protocol accepts",
  OUTPUT_LIMIT: "the command printed more than maxOutputBytes",
  PROCESS_NOT_FOUND: "the sandbox has no such process",
  FILE_NOT_FOUND: "the guest or host has no such file",
  FILE_EXISTS: "the file exists",
  FILE_CHANGED: "the file is not of the version that was to be replaced (details.current: what is there now)",
  FILE_TYPE: "the file is a directory where a file is needed, or the reverse",
  FILE_PERMISSION: "the file may not be read or written by that user",
  FILE_CROSS_DEVICE:
    "the two paths are on different file systems of the guest, between which nothing can be renamed",
  FILE_UNSAFE: "an entry that the guest sent would have left its target directory or is not allowed",
  FILE_FAILED: "a file operation failed for a reason of its own (details.errno)",
  DISK_IN_USE: "another sandbox or program has a disk file of yours",
  NO_SPACE: "the disk is full, or has no room for more files",
  MOUNT_FAILED: "a directory of the host could not be mounted in the sandbox, or taken away",
  MOUNT_NOT_FOUND: "no directory of the host is mounted there in the sandbox",
  PORT_IN_USE: "the host port is taken",
  NETWORK_SETUP_MISSING:
    "the network mode needs a host setup that has not been done, or what this host cannot give",
  TAP_UNAVAILABLE: "all taps that the host setup made are in use",
  CONNECTION_REFUSED: "nothing listens on that port in the guest",
  CONNECTION_RESET: "a server in the guest has cut a connection off (TCP's reset)",
  POOL_NOT_FOUND: "there is no pool of that name",
  POOL_EXISTS: "a pool of that name exists",
  SNAPSHOT_NOT_FOUND: "there is no snapshot of that name",
  SNAPSHOT_EXISTS: "a snapshot of that name exists",
  SNAPSHOT_IN_USE: "other snapshots are kept as the difference to it (details.users)",
  SNAPSHOT_INVALID: "a snapshot's files are damaged, or no snapshot",
  SNAPSHOT_INCOMPATIBLE: "the snapshot cannot be restored on this host or version",
  STORE_INVALID: "the store is damaged or was written by a newer version",
  HOST_FAILED: "an operation on the host failed (details)",
  INTERNAL: "a bug in smolvm",
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

/** What to do about an error of each code, where whoever throws it knows nothing better: a sentence that ends in what to type. */
export const ERROR_HINTS: Readonly<Record<ErrorCode, string>> = {
  BACKEND_UNSUPPORTED: "Use auto, firecracker or qemu. What this machine can run: smolvm doctor",
  BACKEND_UNAVAILABLE: "See what is missing, and what brings it: smolvm doctor",
  KVM_UNAVAILABLE: "See what is missing, and what brings it: smolvm doctor",
  ISOLATION_UNAVAILABLE: "See what this machine gives, and why not more: smolvm doctor",
  CONFIG_INVALID: "What is accepted is in docs/sdk-reference.md, and for the command line in: smolvm help",
  NOT_SUPPORTED: "What this version has and lacks is in README.md; what this machine can run: smolvm doctor",
  USAGE: "See how it is written: smolvm help",
  ROOT_REQUIRED: "See what would be changed: smolvm setup --dry-run. Then run it as root.",
  DEPENDENCY_MISSING: "See what is missing, and what brings it: smolvm doctor",
  IMAGE_NOT_FOUND: "See which images there are: smolvm image ls",
  IMAGE_INVALID:
    "Look at it: smolvm image inspect NAME --verify. Or build it again: smolvm image build NAME --force",
  IMAGE_BUILD_FAILED: "See what was done: smolvm image build NAME --verbose",
  DOCKERFILE_INVALID: "Look at the line that it names. What is understood is in docs/builds.md",
  STEP_FAILED: "Look at what the step printed, change the line that it names, and build again.",
  IMAGE_IN_USE: "See which sandboxes there are: smolvm ls",
  REGISTRY_AUTH: "Log in: smolvm image login -u NAME REGISTRY < PASSWORD-FILE",
  REGISTRY_LIMITED:
    "Wait, or log in, which raises the limit: smolvm image login -u NAME REGISTRY < PASSWORD-FILE",
  REGISTRY_FAILED: "Try again: what was downloaded is kept, and the pull goes on from there.",
  VM_NOT_FOUND: "See which sandboxes there are: smolvm ls",
  VM_NAME_TAKEN: "Choose another name, or remove it: smolvm rm NAME",
  VM_STATE: "See how it is: smolvm info NAME",
  VM_BUSY: "Try again when the other one has finished. How the sandbox is: smolvm info NAME",
  BOOT_TIMEOUT: "Raise timeoutMs if this machine is slow, or look at the guest's console: smolvm logs NAME",
  BOOT_FAILED: "Look at the guest's console: smolvm logs NAME",
  VMM_FAILED: "See what the machine's processes said: smolvm debug NAME",
  AGENT_LOST: "See what became of the sandbox: smolvm info NAME, smolvm logs NAME",
  AGENT_PROTOCOL:
    "The sandbox is not to be trusted any more. Remove it, and create a new one: smolvm rm -f NAME",
  AGENT_VERSION:
    "The sandbox was made by another version of smolvm. Remove it, and create a new one: smolvm rm -f NAME",
  CHANNEL_BUSY: "Wait until one of them has finished, or run several commands from one process.",
  OUTCOME_UNKNOWN:
    "Look in the sandbox before it is done again. What became of it: smolvm info NAME, smolvm logs NAME",
  TIMEOUT: "Raise timeoutMs if it needs longer.",
  ABORTED: "It was given up as asked. Do it again to have it done.",
  RUN_TIMEOUT: "Raise timeoutMs if it needs longer.",
  RUN_ABORTED: "It was given up as asked. Run it again to have it done.",
  RUN_FAILED:
    "What it printed is in the error's result. Leave check out to get a failing command as a result, too.",
  COMMAND_NOT_FOUND: "Give its full path, or install it in the sandbox.",
  COMMAND_NOT_EXECUTABLE:
    "Give it to its interpreter (python3 FILE), or make it executable in the sandbox: chmod +x FILE",
  ARGUMENTS_TOO_LONG: "Write the data to a file with files.write, or send it through stdin.",
  OUTPUT_LIMIT: "Raise maxOutputBytes, or take the output piece by piece.",
  PROCESS_NOT_FOUND: "See what runs: processes.list()",
  FILE_NOT_FOUND:
    "Look whether the path is right, and on which side: one of this machine, or of the sandbox.",
  FILE_EXISTS: "Choose another name, or remove what is there.",
  FILE_CHANGED: "Read it again, change what is there now, and write that with its version: files.stat(path)",
  FILE_TYPE: "Look at what is there, and give the path of what is meant.",
  FILE_PERMISSION: "Look at its owner and mode (ls -l), or do it as another user.",
  FILE_CROSS_DEVICE: "Copy it and remove the old one, which is what mv does in the sandbox: mv FROM TO",
  FILE_UNSAFE:
    "Nothing of it was used. Look at it in the sandbox first, or delete the sandbox: smolvm rm -f NAME",
  FILE_FAILED: "Look at the disk that it is on; at the sandbox's: smolvm info NAME, smolvm logs NAME",
  DISK_IN_USE: "Stop the sandbox that has it. Which ones there are: smolvm ls",
  NO_SPACE: "Free some space. Where it is missing: df -h",
  MOUNT_FAILED: "See what is mounted, and what the server of host directories said: smolvm mount NAME",
  MOUNT_NOT_FOUND: "See what is mounted: smolvm mount NAME",
  PORT_IN_USE: "Choose another host port, or leave it out for any free one.",
  NETWORK_SETUP_MISSING: "Set the network up, as root: smolvm setup --configure-runtime",
  TAP_UNAVAILABLE: "Stop a sandbox that has one. Which ones there are: smolvm ls",
  CONNECTION_REFUSED: "Start the server in the sandbox first, and let it listen on 127.0.0.1 or 0.0.0.0.",
  CONNECTION_RESET: "Look why the server in the sandbox has done so: its own log, or smolvm logs NAME",
  POOL_NOT_FOUND: "See which pools there are: smolvm pool ls",
  POOL_EXISTS: "Choose another name, or remove it: smolvm pool rm NAME",
  SNAPSHOT_NOT_FOUND: "See which snapshots there are: smolvm snapshot ls",
  SNAPSHOT_EXISTS: "Choose another name, or remove it: smolvm snapshot rm NAME",
  SNAPSHOT_IN_USE: "Remove those first: smolvm snapshot rm NAME...",
  SNAPSHOT_INVALID: "Remove it, and take a new one: smolvm snapshot rm NAME",
  SNAPSHOT_INCOMPATIBLE: "Restore it where it was taken, or take a new one.",
  STORE_INVALID:
    "Update smolvm, or use another directory by SMOLVM_HOME. What is wrong with it: smolvm doctor",
  HOST_FAILED: "See what is wrong with this machine: smolvm doctor",
  INTERNAL: "This is a bug in smolvm. Please report it with the output of: smolvm doctor --json",
};

/** What `details.errno` of a file operation's error says most often, with its meaning there. The errors page has this table, too. */
export const FILE_ERRNOS = {
  ENOENT: "there is nothing, or a directory on the way is missing",
  EEXIST: "there is something already",
  ENOTEMPTY: "the directory is not empty",
  EISDIR: "it is a directory, and something else was needed",
  ENOTDIR: "it is no directory, or something on the way is none",
  EACCES: "that user may not",
  EPERM: "nobody may, or only root",
  EROFS: "the file system is read-only",
  ENOSPC: "the file system is full",
  EDQUOT: "the user's quota is used up",
  ELOOP: "too many symlinks, or one where none is followed",
  ENAMETOOLONG: "a name is longer than 255 bytes, or a path than 4,095",
  EINVAL: "it makes no sense, such as a directory that is to go into itself",
  EXDEV: "the two are on different file systems",
  EBUSY: "it is in use, such as a mounted file system's root",
  ETXTBSY: "it is a program that runs",
  EFBIG: "it is larger than the file system takes",
  EIO: "the disk or file system is broken",
} as const;

/** The name of a system's error number: one of {@link FILE_ERRNOS} most often, and any other that the system may give. */
export type Errno = keyof typeof FILE_ERRNOS | (string & {});

/** Facts of an error for programs; which ones there are depends on its code. */
export interface ErrorDetails {
  /** of an error that a kernel gave, the guest's or this machine's: its name, which says more than the code */
  readonly errno?: Errno | undefined;
  /** of a file operation: where it failed, on this machine or in the sandbox */
  readonly side?: "host" | "guest" | undefined;
  readonly [name: string]: unknown;
}

export interface SmolVMErrorOptions {
  /** what to do: a sentence that ends in the exact command, where there is one; default that of {@link ERROR_HINTS} */
  hint?: string | undefined;
  /** facts for programs; no secrets */
  details?: Record<string, unknown> | undefined;
  cause?: unknown;
}

/**
 * A hint, which is written for a POSIX shell, in the words of PowerShell on Windows: those that set and unset variables, show the disks, and join
 * commands. Pure. @internal
 */
export function inThisShell(hint: string, platform: NodeJS.Platform = process.platform): string {
  if (platform !== "win32") return hint;
  return hint
    .replaceAll(
      /\bexport (\w+)=(?:'([^']*)'|(\S+))/g,
      (_, name, quoted, word) => `$env:${name} = '${quoted ?? word}'`,
    )
    .replaceAll(/\bunset (\w+)/g, "Remove-Item Env:$1")
    .replaceAll(/\bdf -h(?: '[^']*')?(?: \/tmp)?/g, "Get-PSDrive")
    .replaceAll(" && ", "; ");
}

/**
 * What an error of ours is known by, and which class of ours it has: also one of another copy of this package, of which a program may have
 * several (a bundle, CommonJS beside ES modules, two versions in node_modules), each with classes of its own.
 */
export const ERROR_BRAND: symbol = Symbol.for("smolvm.error");

/** The one error type that smolvm throws. `code` is stable; `hint` says what to do. Known by {@link isSmolVMError}, whichever copy of smolvm threw it. */
export class SmolVMError extends Error {
  override readonly name = "SmolVMError";
  readonly code: ErrorCode;
  readonly hint: string;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, message: string, options: SmolVMErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = inThisShell(options.hint ?? ERROR_HINTS[code]);
    this.details = (options.details ?? {}) as ErrorDetails;
  }
}

// Not a member: the types of two copies would not fit each other.
Object.defineProperty(SmolVMError.prototype, ERROR_BRAND, { value: "SmolVMError" });

/** True for a SmolVMError, of that code if one is given; also for one of another copy of this package, which `instanceof` is not. */
export function isSmolVMError(error: unknown, code?: ErrorCode): error is SmolVMError {
  if (errorClass(error) === undefined) return false;
  return code === undefined || (error as SmolVMError).code === code;
}

/** Which class of ours an error has, of whichever copy: "SmolVMError", "RunError"; undefined: none. @internal */
export function errorClass(error: unknown): unknown {
  return (error as { [brand: symbol]: unknown } | null | undefined)?.[ERROR_BRAND];
}

/** Codes that say that the sandbox is not there, or that the way to it is gone. */
const GONE: readonly ErrorCode[] = ["VM_NOT_FOUND", "AGENT_LOST", "OUTCOME_UNKNOWN"];
/** States in which a VM_STATE is about something else than a sandbox that is down. */
const UP: readonly unknown[] = ["starting", "running", "paused"];

/**
 * True for an error that says that the sandbox is gone or down, so that starting it again, or making another one, may help: it was deleted
 * (VM_NOT_FOUND), it does not run (VM_STATE, `details.state` tells what it is), or the channel to it ended (AGENT_LOST; OUTCOME_UNKNOWN, and then
 * what was asked for may have been done). False for all other codes: also for a start that failed, which would fail again.
 */
export function isGone(error: unknown): error is SmolVMError {
  if (!isSmolVMError(error)) return false;
  if (error.code !== "VM_STATE") return GONE.includes(error.code);
  return typeof error.details.state === "string" && !UP.includes(error.details.state);
}
