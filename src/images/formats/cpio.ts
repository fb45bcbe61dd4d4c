import { SmolVMError } from "../../errors.ts";

/**
 * Writer of the cpio "newc" format that Linux unpacks as initramfs
 * (docs.kernel.org/driver-api/early-userspace/buffer-format.html). Pure and deterministic: owners 0:0, time 0, inodes in order.
 *
 *   "070701" + 13 fields of 8 hex digits, name with its NUL padded to 4, data padded to 4; "TRAILER!!!" ends it
 */
export interface CpioEntry {
  /** path without a leading slash; directories come before what is in them */
  readonly path: string;
  /** type and permission bits, e.g. 0o100755 (file), 0o040755 (directory), 0o020600 (character device) */
  readonly mode: number;
  readonly data?: Uint8Array;
  /** major and minor number of a device */
  readonly device?: readonly [major: number, minor: number];
}

export const CPIO_FILE = 0o100000;
export const CPIO_DIRECTORY = 0o040000;
export const CPIO_CHARACTER_DEVICE = 0o020000;

const TRAILER = "TRAILER!!!";

/** The archive of these entries. */
export function writeCpio(entries: readonly CpioEntry[]): Uint8Array {
  const parts: Uint8Array[] = [];
  const push = (bytes: Uint8Array): void => {
    parts.push(bytes);
    if (bytes.length % 4 !== 0) parts.push(new Uint8Array(4 - (bytes.length % 4)));
  };
  const write = (entry: CpioEntry, inode: number): void => {
    const data = entry.data ?? new Uint8Array(0);
    const name = Buffer.from(`${entry.path}\0`, "utf8");
    if (data.length > 0xffffffff)
      throw new SmolVMError("INTERNAL", `cpio entry '${entry.path}' is too large`);
    const links = (entry.mode & 0o170000) === CPIO_DIRECTORY ? 2 : entry.path === TRAILER ? 0 : 1;
    const fields = [
      inode,
      entry.mode,
      0, // uid
      0, // gid
      links,
      0, // time
      data.length,
      0, // device that the file lies on
      0,
      entry.device?.[0] ?? 0,
      entry.device?.[1] ?? 0,
      name.length,
      0, // checksum, only used by another variant
    ];
    const header = `070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}`;
    // Header and name are padded together: the header's 110 bytes are no multiple of 4.
    push(Buffer.concat([Buffer.from(header, "latin1"), name]));
    push(data);
  };
  entries.forEach((entry, index) => {
    write(entry, index + 1);
  });
  write({ path: TRAILER, mode: 0 }, 0);
  return Buffer.concat(parts);
}
