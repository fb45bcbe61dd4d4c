import type { MachineSpec } from "../config/spec.ts";
import type { VmFiles } from "../host/files/filenames.ts";
import type { HostView } from "../isolation/view.ts";

/** The files that any VMM needs for a machine: what it boots from, its disks, and the directory of its sockets. Pure. */
export function machineFiles(
  { kernelPath, initrdPath, disks }: MachineSpec,
  { exit, runtimeDir }: Pick<VmFiles, "exit" | "runtimeDir">,
): Pick<HostView, "exit" | "readOnly" | "writable"> {
  const paths = (readOnly: boolean): string[] =>
    disks.filter((disk) => disk.readOnly === readOnly).map((disk) => disk.path);
  return {
    exit,
    readOnly: [kernelPath, ...(initrdPath === undefined ? [] : [initrdPath]), ...paths(true)],
    writable: [runtimeDir, ...paths(false)],
  };
}

/** The device through which a VMM opens its tap, if it has one. Pure. */
export function tapDevices(tap: string | undefined): readonly string[] {
  return tap === undefined ? [] : ["/dev/net/tun"];
}
