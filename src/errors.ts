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
  IMAGE_IN_USE: "the image is used by a sandbox",
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
  OUTCOME_UNKNOWN: "the channel ended after a request was sent, so it may or may not have been carried out",
  TIMEOUT: "an operation other than a command did not finish within its time",
  ABORTED: "the caller's signal aborted an operation other than a command",
  RUN_TIMEOUT: "the command did not finish within its time; it and all it started were killed",
  RUN_ABORTED: "the caller's signal aborted the command; it and all it started were killed",
  RUN_FAILED: "the command ended with a non-zero exit code or a signal, and check was set",
  COMMAND_NOT_FOUND: "the guest has no such program",
  COMMAND_NOT_EXECUTABLE: "the program exists in the guest and cannot be executed",
  ARGUMENTS_TOO_LONG: "arguments and environment exceed what the guest's kernel or the protocol accepts",
  OUTPUT_LIMIT: "the command printed more than maxOutputBytes",
  PROCESS_NOT_FOUND: "the sandbox has no such process",
  FILE_NOT_FOUND: "the guest or host has no such file",
  FILE_EXISTS: "the file exists",
  FILE_TYPE: "the file is a directory where a file is needed, or the reverse",
  FILE_PERMISSION: "the file may not be read or written by that user",
  FILE_UNSAFE: "an entry that the guest sent would have left its target directory or is not allowed",
  FILE_FAILED: "a file operation failed for a reason of its own (details.errno)",
  DISK_IN_USE: "another sandbox or program has a disk file of yours",
  NO_SPACE: "the disk is full",
  PORT_IN_USE: "the host port is taken",
  NETWORK_SETUP_MISSING: "the network mode needs a host setup that has not been done",
  TAP_UNAVAILABLE: "all taps that the host setup made are in use",
  CONNECTION_REFUSED: "nothing listens on that port in the guest",
  SNAPSHOT_INCOMPATIBLE: "the snapshot cannot be restored on this host or version",
  STORE_INVALID: "the store is damaged or was written by a newer version",
  HOST_FAILED: "an operation on the host failed (details)",
  INTERNAL: "a bug in smolvm",
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

export interface SmolVMErrorOptions {
  /** what to do: a sentence that ends in the exact command, where there is one */
  hint?: string | undefined;
  /** facts for programs; no secrets */
  details?: Record<string, unknown> | undefined;
  cause?: unknown;
}

/** The one error type that smolvm throws. `code` is stable; `hint` says what to do. */
export class SmolVMError extends Error {
  override readonly name = "SmolVMError";
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly details: Record<string, unknown>;

  constructor(code: ErrorCode, message: string, options: SmolVMErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
    this.details = options.details ?? {};
  }
}

/** True for a SmolVMError, of that code if one is given. */
export function isSmolVMError(error: unknown, code?: ErrorCode): error is SmolVMError {
  return error instanceof SmolVMError && (code === undefined || error.code === code);
}
