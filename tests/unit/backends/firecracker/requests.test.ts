import { describe, expect, test } from "vitest";
import { bootRequests, limitCard, loadRequest } from "../../../../src/backends/firecracker/requests.ts";
import type { MachineSpec } from "../../../../src/config/spec.ts";

const SPEC: MachineSpec = {
  backend: "firecracker",
  arch: "x86_64",
  machine: "firecracker",
  accelerator: "kvm",
  vcpuCount: 2,
  memSizeMib: 512,
  kernelPath: "/cache/vmlinux",
  initrdPath: "/cache/initrd.cpio",
  bootArgs: "",
  disks: [
    { serial: "smolvm-base", path: "/cache/rootfs.squashfs", format: "raw", readOnly: true },
    { serial: "smolvm-upper", path: "/vms/1/upper.img", format: "raw", readOnly: false },
    { serial: "extra-0", path: "/data/a disk.img", format: "raw", readOnly: false },
  ],
  network: "off",
  sessionPorts: 4,
};
const OPTIONS = {};

const bodyOf = (spec: MachineSpec, path: string, options = OPTIONS): Record<string, unknown> =>
  bootRequests(spec, options).find((request) => request.path === path)!.body;

describe("the requests that boot a Firecracker machine", () => {
  test("come in an order that ends with the start, for x86_64", () => {
    expect(bootRequests(SPEC, OPTIONS)).toMatchSnapshot();
  });

  test("come in an order that ends with the start, for aarch64", () => {
    expect(bootRequests({ ...SPEC, arch: "aarch64", kernelPath: "/cache/Image" }, OPTIONS)).toMatchSnapshot();
  });

  test("give it the network card of its tap, and none without", () => {
    expect(bodyOf(SPEC, "/network-interfaces/eth0", { ...OPTIONS, tap: "smolvm3" } as never)).toEqual({
      iface_id: "eth0",
      guest_mac: "52:54:00:73:6d:6c",
      host_dev_name: "smolvm3",
    });
    const paths = bootRequests(SPEC, OPTIONS).map(({ path }) => path);
    expect(paths.filter((path) => path.startsWith("/network-interfaces"))).toEqual([]);
  });

  test("attach the disks in the order that the kernel's command line tells the agent", () => {
    const requests = bootRequests(SPEC, OPTIONS);
    const attached = requests
      .filter(({ path }) => path.startsWith("/drives/"))
      .map(({ body }) => body.drive_id);
    const told = /smolvm\.disks=(\S+)/.exec(String(bodyOf(SPEC, "/boot-source").boot_args))![1]!.split(",");
    expect(attached).toEqual(told.map((serial) => serial.replaceAll("-", "_")));
  });

  test("let the guest's fsync reach the disk: who goes on from such a machine may be one that must survive a crash", () => {
    expect(bodyOf(SPEC, "/drives/smolvm_upper")).toMatchObject({
      cache_type: "Writeback",
      is_read_only: false,
    });
    expect(bodyOf(SPEC, "/drives/smolvm_base")).toMatchObject({ cache_type: "Unsafe", is_read_only: true });
  });

  test("name nothing of one sandbox's own but its kernel and its tap", () => {
    const said = JSON.stringify(bootRequests(SPEC, OPTIONS));
    for (const { path } of SPEC.disks) expect(said).not.toContain(path);
    expect(bodyOf(SPEC, "/vsock")).toEqual({ guest_cid: 3, uds_path: "machine/vsock" });
    expect(bodyOf(SPEC, "/drives/extra_0")).toMatchObject({ path_on_host: "machine/disk-extra-0" });
  });

  test("leave out an initramfs that there is none of, and put the user's own boot arguments last", () => {
    const spec = { ...SPEC, initrdPath: undefined, bootArgs: " panic=5 " };
    const body = bodyOf(spec, "/boot-source");
    expect(JSON.parse(JSON.stringify(body))).not.toHaveProperty("initrd_path");
    expect(body.boot_args).toMatch(/ panic=5$/);
  });
});

test("a machine goes on from what was saved with a tap of its own, in the words of each version", () => {
  const saved = { memory: "/saved/memory", state: "/run/1/state", halted: false };
  expect(loadRequest({ ...saved, tap: "smolvm3", version: "1.12.1" }).body).toEqual({
    snapshot_path: "/run/1/state",
    mem_backend: { backend_type: "File", backend_path: "/saved/memory" },
    enable_diff_snapshots: true,
    network_overrides: [{ iface_id: "eth0", host_dev_name: "smolvm3" }],
    resume_vm: true,
  });
  const { body } = loadRequest({ ...saved, version: "1.14.1" });
  expect(body).toMatchObject({ track_dirty_pages: true });
  expect(body).not.toHaveProperty("enable_diff_snapshots");
  expect(body).not.toHaveProperty("network_overrides");
});

test("a network card is limited in both directions, as it is made or before what was saved goes on", () => {
  // 16 millions of bits a second are 200,000 bytes in a tenth of one.
  const limiter = { bandwidth: { size: 200_000, refill_time: 100 } };
  const both = { rx_rate_limiter: limiter, tx_rate_limiter: limiter };
  const made = bootRequests(SPEC, { tap: "smolvm3", rateLimitMbps: 16 });
  expect(made.find(({ path }) => path === "/network-interfaces/eth0")?.body).toMatchObject(both);
  expect(JSON.stringify(bootRequests(SPEC, { tap: "smolvm3" }))).not.toContain("limiter");
  expect(limitCard(16)).toMatchObject({ method: "PATCH", body: { iface_id: "eth0", ...both } });
  const saved = { memory: "/saved/memory", state: "/run/1/state", version: "1.14.1", halted: true };
  expect(loadRequest(saved).body).toMatchObject({ resume_vm: false });
});
