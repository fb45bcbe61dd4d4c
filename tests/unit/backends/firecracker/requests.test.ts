import { describe, expect, test } from "vitest";
import { bootRequests } from "../../../../src/backends/firecracker/requests.ts";
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
const OPTIONS = { vsockPath: "/run/1/vsock", disposable: false };

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

  test("let the guest's fsync end in the host's memory only where nothing is to outlive the process", () => {
    const upper = "/drives/smolvm_upper";
    expect(bodyOf(SPEC, upper)).toMatchObject({ cache_type: "Writeback", is_read_only: false });
    expect(bodyOf(SPEC, upper, { ...OPTIONS, disposable: true })).toMatchObject({ cache_type: "Unsafe" });
    // a disk of the user's own is never disposable
    expect(bodyOf(SPEC, "/drives/extra_0", { ...OPTIONS, disposable: true })).toMatchObject({
      cache_type: "Writeback",
    });
  });

  test("leave out an initramfs that there is none of, and put the user's own boot arguments last", () => {
    const spec = { ...SPEC, initrdPath: undefined, bootArgs: " panic=5 " };
    const body = bodyOf(spec, "/boot-source");
    expect(JSON.parse(JSON.stringify(body))).not.toHaveProperty("initrd_path");
    expect(body.boot_args).toMatch(/ panic=5$/);
  });
});
