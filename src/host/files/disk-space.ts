import { statfsSync } from "node:fs";

/** Below this much room a disk counts as full: neither can a sandbox's own disk grow there, nor the store note much. */
export const DISK_FULL_BYTES: number = 1 << 20;

/** Free and total bytes of the file system that holds a path, as an unprivileged user sees them. */
export function diskSpace(path: string): { readonly freeBytes: number; readonly totalBytes: number } {
  const stat = statfsSync(path);
  return { freeBytes: stat.bavail * stat.bsize, totalBytes: stat.blocks * stat.bsize };
}
