import { type ErrorCode, SmolVMError } from "../../errors.ts";
import { DISK_FULL_BYTES, diskSpace } from "../../host/files/disk-space.ts";

/** The error for a disk with so little room. Pure. */
export function diskFullError(
  dataDir: string,
  freeBytes: number,
  options: { readonly details?: Readonly<Record<string, unknown>>; readonly cause?: unknown } = {},
): SmolVMError {
  return new SmolVMError(
    "NO_SPACE",
    `this machine's disk is full: ${freeBytes >> 20} MiB are left in '${dataDir}'`,
    {
      hint: `Free some space (df -h '${dataDir}'), or remove sandboxes that are not needed: smolvm ls`,
      details: { freeBytes, ...options.details },
      cause: options.cause,
    },
  );
}

/**
 * What to tell of a machine that could not be started: that the disk is full, if it is. It may not say so itself, because what it
 * says is written there.
 */
export function orDiskFull(dataDir: string, error: unknown): unknown {
  if (!(error instanceof SmolVMError) || !UNEXPLAINED.includes(error.code)) return error;
  const { freeBytes } = diskSpace(dataDir);
  if (freeBytes >= DISK_FULL_BYTES) return error;
  return diskFullError(dataDir, freeBytes, { details: { failed: error.message }, cause: error });
}
const UNEXPLAINED: readonly ErrorCode[] = ["VMM_FAILED", "BOOT_FAILED", "HOST_FAILED"];
