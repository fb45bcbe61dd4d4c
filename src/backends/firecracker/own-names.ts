import type { DiskSpec } from "../../config/spec.ts";
import type { VmFiles } from "../../host/files/filenames.ts";
import type { HostView } from "../../isolation/view.ts";

// Firecracker keeps in what it saves the names under which it opened a machine's disks and its vsock. So that another can go on from
// that with disks and a socket of its own, all have the same names, relative to the directory in which they run: "machine/..." leads to
// the directory of the sandbox's sockets, where there is a link for each disk.

/** What leads to the directory of a sandbox's sockets. */
export const PLACE = "machine";

/** The name of a disk in every machine. Pure. */
export function diskName({ serial }: Pick<DiskSpec, "serial">): string {
  return `${PLACE}/${linkName(serial)}`;
}

/** The name of the vsock's socket in every machine: that of VmFiles.vsock. */
export const VSOCK_NAME: string = `${PLACE}/vsock`;

/** For one that has a root of its own, and runs in that. Pure. */
export function ownNameLinks({ runtimeDir }: Pick<VmFiles, "runtimeDir">): NonNullable<HostView["links"]> {
  return [{ path: `/${PLACE}`, target: runtimeDir }];
}

/** A disk's link in that directory. Pure. */
export function linkName(serial: string): string {
  return `disk-${serial}`;
}
