import { access, constants, realpath, stat } from "node:fs/promises";
import { SmolVMError } from "../../errors.ts";
import { diskContainer } from "../formats/disk-container.ts";
import { readHead } from "../formats/read-head.ts";

/** What a virtio disk is counted in. */
const SECTOR_BYTES = 512;
/** So much of a file tells what it is; VMDK's descriptor, qcow2's and the others' magic numbers stand there. */
const HEAD_BYTES = 512;

/** A file of the user's that can be a disk. */
export interface UserDisk {
  /** absolute, without symbolic links: the file that is meant stays that one */
  readonly path: string;
  readonly bytes: number;
}

/**
 * Checks a file that the user wants the guest to have as a disk: raw, a whole number of sectors, and writable unless it
 * is used read-only.
 * @param option the option that names it, for errors
 * @throws SmolVMError FILE_NOT_FOUND, FILE_TYPE, FILE_PERMISSION, IMAGE_INVALID
 */
export async function checkUserDisk(
  option: string,
  path: string,
  { readOnly }: { readOnly: boolean },
): Promise<UserDisk> {
  const details = { option, path };
  const real = await realpath(path).catch((cause: unknown) => {
    throw new SmolVMError("FILE_NOT_FOUND", `${option}: there is no file '${path}'`, { details, cause });
  });
  const stats = await stat(real);
  const { size } = stats;
  if (!stats.isFile()) {
    throw new SmolVMError("FILE_TYPE", `${option}: '${path}' is not a regular file`, {
      hint: "Give a raw disk image; make an empty one with: truncate -s 1G disk.img",
      details,
    });
  }
  await requireAccess(option, path, real, readOnly, stats.mode);
  const container = diskContainer(await readHead(real, HEAD_BYTES));
  if (container !== undefined) {
    throw new SmolVMError(
      "IMAGE_INVALID",
      `${option}: '${path}' is ${container.name}, and only raw images are disks`,
      {
        hint: container.hint.replaceAll("IMAGE", `'${path}'`),
        details,
      },
    );
  }
  if (size === 0 || size % SECTOR_BYTES !== 0) {
    throw new SmolVMError(
      "IMAGE_INVALID",
      `${option}: '${path}' has ${size} bytes; a disk has a multiple of ${SECTOR_BYTES}, and more than none`,
      { hint: `Make it larger: truncate -s ${size === 0 ? "1G" : `%${SECTOR_BYTES}`} '${path}'`, details },
    );
  }
  return { path: real, bytes: size };
}

async function requireAccess(
  option: string,
  path: string,
  real: string,
  readOnly: boolean,
  mode: number,
): Promise<void> {
  const refuse = (what: string, hint: string, cause?: unknown): SmolVMError =>
    new SmolVMError("FILE_PERMISSION", `${option}: '${path}' ${what}`, {
      hint,
      details: { option, path },
      cause,
    });
  await access(real, constants.R_OK).catch((cause: unknown) => {
    throw refuse("cannot be read", `Allow it: chmod u+r '${path}'`, cause);
  });
  if (readOnly) return;
  const allow = `Allow it (chmod u+w '${path}'), or give it read-only.`;
  // Root may write to everything: a file that nobody is meant to write to is left alone by root, too.
  if ((mode & 0o222) === 0) throw refuse("is read-only", allow);
  await access(real, constants.W_OK).catch((cause: unknown) => {
    throw refuse("cannot be written", allow, cause);
  });
}
