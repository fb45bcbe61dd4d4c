import { SmolVMError } from "../../errors.ts";

/**
 * Writer of the POSIX ustar format (https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html, "ustar Interchange
 * Format"). Pure and deterministic: everything belongs to 0:0 and is of one time.
 */
export interface TarEntry {
  /** relative, at most 100 bytes; directories come before what is in them */
  readonly path: string;
  /** permission bits */
  readonly mode: number;
  readonly kind: "file" | "directory" | "symlink";
  /** of a file */
  readonly data?: Uint8Array;
  /** of a symlink, at most 100 bytes */
  readonly target?: string;
}

/** linux: tar(5); everything is counted in these */
export const BLOCK_BYTES = 512;
const TYPE_FLAG = { file: "0", symlink: "2", directory: "5" } as const;

/**
 * The archive of these entries.
 * @param mtime of every entry, in seconds since 1970
 */
export function writeTar(entries: readonly TarEntry[], mtime: number): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const entry of entries) {
    const data = entry.kind === "file" ? (entry.data ?? new Uint8Array(0)) : new Uint8Array(0);
    parts.push(tarHeader(entry, data.length, mtime), data, tarPadding(data.length));
  }
  parts.push(TAR_END);
  return Buffer.concat(parts);
}

/** Two empty blocks end an archive. */
export const TAR_END: Uint8Array = new Uint8Array(2 * BLOCK_BYTES);

/** What follows content of that size, up to a whole block. Pure. */
export function tarPadding(size: number): Uint8Array {
  return new Uint8Array((BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES);
}

/** The block before an entry's content. Pure. */
export function tarHeader(entry: Omit<TarEntry, "data">, size: number, mtime: number): Uint8Array {
  const block = Buffer.alloc(BLOCK_BYTES);
  const text = (at: number, length: number, value: string): void => {
    if (Buffer.byteLength(value) > length)
      throw new SmolVMError("INTERNAL", `'${value}' is too long for a tar header`);
    block.write(value, at, "utf8");
  };
  const octal = (at: number, length: number, value: number): void =>
    text(at, length, `${value.toString(8).padStart(length - 1, "0")}\0`);
  text(0, 100, entry.kind === "directory" ? `${entry.path}/` : entry.path);
  octal(100, 8, entry.mode);
  octal(108, 8, 0); // uid
  octal(116, 8, 0); // gid
  octal(124, 12, size);
  octal(136, 12, mtime);
  text(156, 1, TYPE_FLAG[entry.kind]);
  text(157, 100, entry.target ?? "");
  text(257, 8, "ustar\x0000");
  // The checksum is summed up with spaces in its own place.
  text(148, 8, "        ");
  text(
    148,
    8,
    `${block
      .reduce((sum, byte) => sum + byte, 0)
      .toString(8)
      .padStart(6, "0")}\0 `,
  );
  return block;
}
