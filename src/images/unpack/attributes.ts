/** What Linux takes of one attribute, and EROFS of all of a file. */
const MAX_VALUE_BYTES = 65_535;
const MAX_BYTES = 65_536;

/** EROFS's numbers for the beginnings of names (fs/erofs/erofs_fs.h, EROFS_XATTR_INDEX_*). */
export const ATTRIBUTE_PREFIXES: readonly (readonly [string, number])[] = [
  ["user.", 1],
  ["system.posix_acl_access", 2],
  ["system.posix_acl_default", 3],
  ["trusted.", 4],
  ["security.", 6],
];

/**
 * The extended attributes that a file in an image keeps, sorted by name. What overlayfs notes for itself is left out: it is of the
 * machine that made the layer, and would mean something else to the sandbox's own. Pure.
 * @returns undefined if they are too large
 */
export function usefulAttributes(
  xattrs: ReadonlyMap<string, Uint8Array> | undefined,
): Map<string, Uint8Array> | undefined {
  const kept = new Map<string, Uint8Array>();
  let bytes = 0;
  for (const name of [...(xattrs?.keys() ?? [])].sort()) {
    const value = xattrs!.get(name)!;
    const prefix = ATTRIBUTE_PREFIXES.find(([start]) => name.startsWith(start));
    if (prefix === undefined || name.startsWith("trusted.overlay.")) continue;
    const rest = name.length - prefix[0].length;
    if (rest === 0 && prefix[0].endsWith(".")) continue;
    if (rest > 255 || value.length > MAX_VALUE_BYTES) return undefined;
    bytes += 8 + rest + value.length;
    if (bytes > MAX_BYTES) return undefined;
    kept.set(name, value);
  }
  return kept;
}
