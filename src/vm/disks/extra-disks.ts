import type { ExtraDrive } from "../../config/options.ts";
import type { DiskSpec } from "../../config/spec.ts";
import { SmolVMError } from "../../errors.ts";
import { checkUserDisk } from "../../images/disk/user-disk.ts";

/**
 * The disks for the drives that a user asks for.
 * @throws SmolVMError FILE_NOT_FOUND, FILE_TYPE, FILE_PERMISSION, IMAGE_INVALID
 */
export async function extraDisks(drives: readonly ExtraDrive[]): Promise<DiskSpec[]> {
  const disks: DiskSpec[] = [];
  for (const [index, { path, readOnly = false, mountAt }] of drives.entries()) {
    const file = await checkUserDisk("extraDrives", path, { readOnly });
    disks.push({ serial: `extra-${index}`, path: file.path, format: "raw", readOnly, mountAt });
  }
  return disks;
}

/** A file that one sandbox has twice must not be written by either. @throws SmolVMError CONFIG_INVALID */
export function requireOnce(disks: readonly DiskSpec[]): void {
  for (const [index, disk] of disks.entries()) {
    const twin = disks.slice(0, index).find(({ path }) => path === disk.path);
    if (twin === undefined || (twin.readOnly && disk.readOnly)) continue;
    throw new SmolVMError(
      "CONFIG_INVALID",
      `extraDrives: '${disk.path}' is a disk of this sandbox twice, and written`,
      {
        hint: "Give it once, or read-only both times.",
        details: { option: "extraDrives", path: disk.path },
      },
    );
  }
}
