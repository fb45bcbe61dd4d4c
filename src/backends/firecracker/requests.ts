import type { DiskSpec, MachineSpec } from "../../config/spec.ts";
import { isOlder } from "../../util/versions.ts";
import { GUEST_MAC } from "../network-card.ts";
import { firecrackerKernelArgs } from "./kernel-args.ts";
import { diskName, VSOCK_NAME } from "./own-names.ts";

/** One request to Firecracker's API. */
export interface ApiRequest {
  readonly method: "PUT" | "PATCH";
  readonly path: string;
  readonly body: Readonly<Record<string, unknown>>;
  /** what it sets up, for errors: "the kernel" */
  readonly what: string;
}

export interface RequestOptions {
  /** the interface behind its network card; undefined: it has none */
  readonly tap?: string | undefined;
  /** of that card, in each direction, in millions of bits a second; undefined: no limit */
  readonly rateLimitMbps?: number | undefined;
}

/** What Firecracker calls the network card. */
const CARD = "eth0";

/** The guest's address on its vsock. Every machine has a vsock of its own, so all may have the same. */
const GUEST_CID = 3;

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
    ...spec.disks.map(drive),
    ...(options.tap === undefined ? [] : [networkCard(options.tap, options.rateLimitMbps)]),
    put("/vsock", "the channel", { guest_cid: GUEST_CID, uds_path: VSOCK_NAME }),
    put("/actions", "starting the machine", { action_type: "InstanceStart" }),
  ];
}

function networkCard(tap: string, rateLimitMbps: number | undefined): ApiRequest {
  return put(`/network-interfaces/${CARD}`, "the network card", {
    iface_id: CARD,
    guest_mac: GUEST_MAC,
    host_dev_name: tap,
    ...(rateLimitMbps === undefined ? {} : rateLimiters(rateLimitMbps)),
  });
}

/** Token buckets of a tenth of a second each. Pure. */
function rateLimiters(mbps: number): Readonly<Record<string, unknown>> {
  const limiter = { bandwidth: { size: mbps * BYTES_PER_MBIT * (REFILL_MS / 1000), refill_time: REFILL_MS } };
  return { rx_rate_limiter: limiter, tx_rate_limiter: limiter };
}

const BYTES_PER_MBIT = 125_000;
const REFILL_MS = 100;

/** Limits the network card of a machine that has one. Pure. */
export function limitCard(rateLimitMbps: number): ApiRequest {
  return {
    method: "PATCH",
    path: `/network-interfaces/${CARD}`,
    body: { iface_id: CARD, ...rateLimiters(rateLimitMbps) },
    what: "the network card's limit",
  };
}

function drive(disk: DiskSpec): ApiRequest {
  // The only characters of a drive's id are letters, digits and _.
  const id = disk.serial.replaceAll("-", "_");
  return put(`/drives/${id}`, `the disk '${disk.serial}'`, {
    drive_id: id,
    path_on_host: diskName(disk),
    // The agent mounts the root: for the kernel it is a disk like any other.
    is_root_device: false,
    is_read_only: disk.readOnly,
    // "Unsafe": the guest's fsync ends in the host's memory. A machine that goes on from this one's memory keeps what is said here, and
    // may be one whose disk is to survive a crash of the host.
    cache_type: disk.readOnly ? "Unsafe" : "Writeback",
  });
}

function put(path: string, what: string, body: Readonly<Record<string, unknown>>): ApiRequest {
  return { method: "PUT", path, body, what };
}

/** Since then the tracking of written pages has the name that it has in a machine's configuration. */
const TRACKS_BY_NAME = "1.13.0";

/** What a machine goes on from. */
export interface SavedMachine {
  /** files of its memory and of all else */
  readonly memory: string;
  readonly state: string;
  readonly tap?: string | undefined;
  /** Firecracker's */
  readonly version: string;
  /** it stands still until it is told to go on */
  readonly halted: boolean;
}

/**
 * Has a fresh Firecracker go on from what one saved, with disks and sockets under the same names, and a memory of which it keeps to
 * itself what it writes. It notes what that is, so that saving it in turn need not write the rest
 * (https://github.com/firecracker-microvm/firecracker/blob/main/docs/snapshotting/snapshot-support.md). Pure.
 */
export function loadRequest({ memory, state, tap, version, halted }: SavedMachine): ApiRequest {
  return put("/snapshot/load", "the saved machine", {
    snapshot_path: state,
    mem_backend: { backend_type: "File", backend_path: memory },
    [isOlder(version, TRACKS_BY_NAME) ? "enable_diff_snapshots" : "track_dirty_pages"]: true,
    ...(tap === undefined ? {} : { network_overrides: [{ iface_id: CARD, host_dev_name: tap }] }),
    resume_vm: !halted,
  });
}

/** Has the state of a machine that stands still written, and its memory: all of it, or what it has written since the last time. Pure. */
export function saveRequest(kind: "Full" | "Diff", to: { state: string; memory: string }): ApiRequest {
  return put("/snapshot/create", "saving the machine", {
    snapshot_type: kind,
    snapshot_path: to.state,
    mem_file_path: to.memory,
  });
}

/** Lets the processors stand still, or go on; fine if they do already. Pure. */
export function vmState(state: "Paused" | "Resumed"): ApiRequest {
  return { method: "PATCH", path: "/vm", body: { state }, what: `/vm ${state}` };
}
