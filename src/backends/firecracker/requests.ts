import type { DiskSpec, MachineSpec } from "../../config/spec.ts";
import { GUEST_MAC } from "../network-card.ts";
import { firecrackerKernelArgs } from "./kernel-args.ts";

/** One request to Firecracker's API. */
export interface ApiRequest {
  readonly method: "PUT" | "PATCH";
  readonly path: string;
  readonly body: Readonly<Record<string, unknown>>;
  /** what it sets up, for errors: "the kernel" */
  readonly what: string;
}

export interface RequestOptions {
  /** the host's socket for the machine's vsock */
  readonly vsockPath: string;
  /** the sandbox's own disk is gone after this process, or the host, has crashed: nothing of it need survive that */
  readonly disposable: boolean;
  /** the interface behind its network card; undefined: it has none */
  readonly tap?: string | undefined;
}

/** The guest's address on its vsock. Every machine has a vsock of its own, so all may have the same. */
const GUEST_CID = 3;

/** The serial number of the sandbox's own writable disk (PROTOCOL.md, section 4). */
const UPPER_SERIAL = "smolvm-upper";

/**
 * What is asked of a fresh Firecracker, in order, until the machine runs
 * (https://github.com/firecracker-microvm/firecracker/blob/main/src/firecracker/swagger/firecracker.yaml). Pure: the
 * same spec gives the same requests (templates depend on it). The guest's console is Firecracker's stdout.
 */
export function bootRequests(spec: MachineSpec, options: RequestOptions): ApiRequest[] {
  return [
    put("/machine-config", "the machine's CPUs and memory", {
      vcpu_count: spec.vcpuCount,
      mem_size_mib: spec.memSizeMib,
    }),
    put("/boot-source", "the kernel", {
      kernel_image_path: spec.kernelPath,
      initrd_path: spec.initrdPath,
      boot_args: firecrackerKernelArgs({
        arch: spec.arch,
        disks: spec.disks.map(({ serial }) => serial),
        bootArgs: spec.bootArgs,
      }),
    }),
    ...spec.disks.map((disk) => drive(disk, options.disposable)),
    ...(options.tap === undefined ? [] : [networkCard(options.tap)]),
    put("/vsock", "the channel", { guest_cid: GUEST_CID, uds_path: options.vsockPath }),
    put("/actions", "starting the machine", { action_type: "InstanceStart" }),
  ];
}

function networkCard(tap: string): ApiRequest {
  return put("/network-interfaces/eth0", "the network card", {
    iface_id: "eth0",
    guest_mac: GUEST_MAC,
    host_dev_name: tap,
  });
}

function drive(disk: DiskSpec, disposable: boolean): ApiRequest {
  // The only characters of a drive's id are letters, digits and _.
  const id = disk.serial.replaceAll("-", "_");
  return put(`/drives/${id}`, `the disk '${disk.serial}'`, {
    drive_id: id,
    path_on_host: disk.path,
    // The agent mounts the root: for the kernel it is a disk like any other.
    is_root_device: false,
    is_read_only: disk.readOnly,
    // "Unsafe": the guest's fsync ends in the host's memory, which survives all but a crash of the host.
    cache_type: disk.readOnly || (disposable && disk.serial === UPPER_SERIAL) ? "Unsafe" : "Writeback",
  });
}

function put(path: string, what: string, body: Readonly<Record<string, unknown>>): ApiRequest {
  return { method: "PUT", path, body, what };
}

/** Lets the processors stand still, or go on; fine if they do already. Pure. */
export function vmState(state: "Paused" | "Resumed"): ApiRequest {
  return { method: "PATCH", path: "/vm", body: { state }, what: `/vm ${state}` };
}
