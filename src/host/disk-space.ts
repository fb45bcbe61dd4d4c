import { statfsSync } from "node:fs";

/** Free and total bytes of the file system that holds a path, as an unprivileged user sees them. */
export function diskSpace(path: string): { readonly freeBytes: number; readonly totalBytes: number } {
  const stat = statfsSync(path);
  return { freeBytes: stat.bavail * stat.bsize, totalBytes: stat.blocks * stat.bsize };
}
