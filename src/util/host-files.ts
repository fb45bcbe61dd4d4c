/**
 * The permissions of a file or directory of this machine, as a guest is told them. Windows has none, and Node makes up some by which no guest
 * could enter a directory: there all is as in images that Docker builds on Windows, 0755. For tests: `platform`.
 */
export function hostMode(mode: number | bigint, platform: NodeJS.Platform = process.platform): number {
  return platform === "win32" ? 0o755 : Number(mode) & 0o7777;
}

/**
 * Whether files here have modes to be given. Windows' read-only mark, which Node makes of one, would keep the copy from being replaced or removed.
 */
export const HAS_MODES: boolean = process.platform !== "win32";

/** Where a symlink of this machine leads, as a guest is told it: Windows parts names by backslashes. For tests: `platform`. Pure. */
export function hostLinkTarget(target: Buffer, platform: NodeJS.Platform = process.platform): Buffer {
  return platform === "win32" ? Buffer.from(target.toString().replaceAll("\\", "/")) : target;
}
