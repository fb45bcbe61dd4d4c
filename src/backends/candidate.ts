import type { BackendName } from "../config/spec.ts";
import type { ErrorCode } from "../errors.ts";

/** What to do where Firecracker cannot run. */
export const USE_QEMU = 'Use backend "qemu" (or "auto"): export SMOLVM_BACKEND=qemu';

/** One backend and whether it can run here. */
export interface BackendCandidate {
  readonly name: BackendName;
  readonly usable: boolean;
  /** why it can, or why it cannot */
  readonly reason: string;
  /** what would make it usable, ending in a command */
  readonly hint?: string;
  /** the error's code where only this one was asked for; default BACKEND_UNAVAILABLE */
  readonly code?: ErrorCode;
}
