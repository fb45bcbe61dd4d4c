import type { DiskSpec, VmSpec } from "../../config/spec.ts";

const EXTRA = /^extra-\d+$/;

/** A disk of the user's own, as the sandbox has it. */
export interface DriveInfo {
  /** the file on the host */
  readonly path: string;
  readonly readOnly: boolean;
  /** where the guest finds it */
  readonly device: string;
  /** where the guest mounts it; undefined: nowhere */
  readonly mountAt: string | undefined;
}

/** Disks that are files of the user's own: drives, and a root of one's own. Pure. */
export function userDisks({ image, machine }: Pick<VmSpec, "image" | "machine">): DiskSpec[] {
  return (machine.disks ?? []).filter(
    ({ serial }) =>
      EXTRA.test(serial) || serial === "smolvm-root" || (serial === "smolvm-base" && image === ""),
  );
}

/** The drives of a sandbox beside its root. Pure. */
export function drivesOf({ machine }: Pick<VmSpec, "machine">): DriveInfo[] {
  return (machine.disks ?? [])
    .filter(({ serial }) => EXTRA.test(serial))
    .map(({ path, readOnly, serial, mountAt }) => ({
      path,
      readOnly,
      device: `/dev/disk/by-id/virtio-${serial}`,
      mountAt,
    }));
}

/** The user's own disk that the guest's root is written to, with diskMode "shared". Pure. */
export function writableDisk({ machine }: Pick<VmSpec, "machine">): DiskSpec | undefined {
  return (machine.disks ?? []).find(({ serial }) => serial === "smolvm-root");
}
