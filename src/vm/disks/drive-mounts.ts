import type { GuestMount } from "../../agent/machine.ts";
import type { DiskSpec } from "../../config/spec.ts";
import { mountableFileSystem } from "../../images/disk/mountable.ts";
import type { RootfsFormat } from "../../images/formats/rootfs-format.ts";

/** A drive that is to be mounted, with the file system that is in its file now. */
export interface DriveMount extends GuestMount {
  readonly fileSystem: RootfsFormat;
}

/**
 * What the guest is to mount. Looked at before each start: the guest, or its user, may have put something else into the file.
 * @throws SmolVMError IMAGE_INVALID for a file without a file system that can be mounted
 */
export async function driveMounts(disks: readonly DiskSpec[]): Promise<DriveMount[]> {
  const mounts: DriveMount[] = [];
  for (const { serial, path, readOnly, mountAt } of disks) {
    if (mountAt === undefined) continue;
    mounts.push({
      serial,
      path: mountAt,
      readOnly,
      fileSystem: await mountableFileSystem(path, { readOnly }),
    });
  }
  return mounts;
}
