import { describe, expect, test } from "vitest";
import {
  type BehindCard,
  type QemuEndpoints,
  type QemuHostFacts,
  qemuArgs,
} from "../../../../src/backends/qemu/args.ts";
import type { MachineSpec } from "../../../../src/config/spec.ts";

const SPEC: MachineSpec = {
  backend: "qemu",
  arch: "x86_64",
  machine: "microvm",
  accelerator: "tcg",
  vcpuCount: 1,
  memSizeMib: 512,
  kernelPath: "/images/vmlinux",
  initrdPath: "/cache/initrd.cpio",
  bootArgs: "",
  disks: [
    { serial: "smolvm-base", path: "/images/rootfs.squashfs", format: "raw", readOnly: true },
    { serial: "smolvm-upper", path: "/vms/box/upper.img", format: "raw", readOnly: false },
  ],
  network: "open",
  sessionPorts: 1,
};

const UNIX: QemuEndpoints = {
  kind: "unix",
  control: "/run/smolvm/box/ctl",
  channels: ["/run/smolvm/box/ch0", "/run/smolvm/box/ch1"],
};
const RELAY: QemuEndpoints = { kind: "relay", port: "{relay-port}", channels: 2 };
const LINUX: QemuHostFacts = { platform: "linux", tscKhz: 2_400_000, sandbox: true, disposable: false };
const MAC: QemuHostFacts = { platform: "darwin", tscKhz: undefined, sandbox: false, disposable: false };
const WINDOWS: QemuHostFacts = { platform: "win32", tscKhz: undefined, sandbox: false, disposable: false };

/** One option a line, as one would write it by hand. */
function lines(args: readonly string[]): string[] {
  const result: string[] = [];
  for (const arg of args) {
    if (arg.startsWith("-") || result.length === 0) result.push(arg);
    else result.push(`${result.pop()} ${arg}`);
  }
  return result;
}

describe("QEMU's arguments on Linux", () => {
  test("an emulated x86_64 guest", () => {
    expect(lines(qemuArgs(SPEC, UNIX, LINUX))).toMatchSnapshot();
  });

  test("microvm with ACPI has the firmware that needs no ROM, where there is a relay", () => {
    const bios = (spec: Partial<typeof SPEC>): string[] =>
      lines(qemuArgs({ ...SPEC, ...spec }, UNIX, LINUX)).filter((line) => line.startsWith("-bios"));
    expect(bios({})).toEqual([]);
    expect(bios({ transport: "tcp" })).toEqual(["-bios qboot.rom"]);
    expect(bios({ transport: "tcp", discovery: "command-line" })).toEqual([]);
    expect(bios({ transport: "tcp", machine: "q35" })).toEqual([]);
  });

  test("a machine whose memory is recorded, and those that go on from it", () => {
    const args = (memory: QemuHostFacts["memory"]): string[] =>
      lines(qemuArgs(SPEC, UNIX, { ...LINUX, memory }));
    const path = "/cache/templates/a,b/memory";
    const without = args(undefined);
    const added = (memory: QemuHostFacts["memory"]): string[] =>
      args(memory).filter((line) => !without.includes(line));
    const machine = "-machine microvm,acpi=on,rtc=on,x-option-roms=off,memory-backend=memory";
    const file = "-object memory-backend-file,id=memory,size=512M,mem-path=/cache/templates/a,,b/memory";
    expect(added({ path, kind: "recorded", opensReadOnly: true })).toEqual([machine, `${file},share=on`]);
    expect(added({ path, kind: "restored", opensReadOnly: true })).toEqual([
      machine,
      `${file},share=off,readonly=on,rom=off`,
      "-global migration.send-configuration=off",
      "-incoming defer",
    ]);
    expect(added({ path, kind: "restored", opensReadOnly: false })).toContain(`${file},share=off`);
  });

  test("an x86_64 guest under KVM", () => {
    expect(lines(qemuArgs({ ...SPEC, accelerator: "kvm", vcpuCount: 4 }, UNIX, LINUX))).toMatchSnapshot();
  });

  test("the q35 machine, whose devices are on PCI", () => {
    expect(lines(qemuArgs({ ...SPEC, machine: "q35" }, UNIX, LINUX))).toMatchSnapshot();
  });

  test("an emulated aarch64 guest", () => {
    const spec: MachineSpec = { ...SPEC, arch: "aarch64", machine: "virt" };
    expect(lines(qemuArgs(spec, UNIX, LINUX))).toMatchSnapshot();
  });

  test("an aarch64 guest under KVM", () => {
    const spec: MachineSpec = { ...SPEC, arch: "aarch64", machine: "virt", accelerator: "kvm" };
    expect(lines(qemuArgs(spec, UNIX, { ...LINUX, tscKhz: undefined }))).toMatchSnapshot();
  });
});

describe("QEMU's arguments on macOS", () => {
  test("an aarch64 guest under HVF", () => {
    const spec: MachineSpec = { ...SPEC, arch: "aarch64", machine: "virt", accelerator: "hvf" };
    expect(lines(qemuArgs(spec, UNIX, MAC))).toMatchSnapshot();
  });

  test("an emulated x86_64 guest", () => {
    expect(lines(qemuArgs(SPEC, UNIX, MAC))).toMatchSnapshot();
  });

  test("an x86_64 guest under HVF, on an Intel Mac", () => {
    expect(lines(qemuArgs({ ...SPEC, accelerator: "hvf" }, UNIX, MAC))).toMatchSnapshot();
  });
});

describe("QEMU's arguments on Windows", () => {
  test("an x86_64 guest under WHPX: QMP on stdio, and nothing listens", () => {
    const spec: MachineSpec = {
      ...SPEC,
      machine: "q35",
      accelerator: "whpx",
      kernelPath: "C:\\images\\vmlinux",
      initrdPath: "C:\\cache\\initrd.cpio",
      disks: [{ serial: "smolvm-base", path: "C:\\images\\a, b.img", format: "raw", readOnly: true }],
    };
    expect(lines(qemuArgs(spec, RELAY, WINDOWS))).toMatchSnapshot();
  });
});

describe("what the arguments depend on", () => {
  const text = (spec: Partial<MachineSpec>, host: Partial<QemuHostFacts> = {}): string =>
    qemuArgs({ ...SPEC, ...spec }, UNIX, { ...LINUX, ...host }).join(" ");

  test("the same spec on the same host gives the same arguments", () => {
    expect(qemuArgs(SPEC, UNIX, LINUX)).toEqual(
      qemuArgs(structuredClone(SPEC), structuredClone(UNIX), LINUX),
    );
  });

  test("a guest that finds its devices on the command line has no ACPI; records of earlier versions have it", () => {
    const machine = (spec: MachineSpec): string | undefined =>
      lines(qemuArgs(spec, UNIX, LINUX)).find((line) => line.startsWith("-machine"));
    expect(machine({ ...SPEC, discovery: "command-line" })).toContain("acpi=off");
    expect(machine({ ...SPEC, discovery: "acpi" })).toContain("acpi=on");
    expect(machine(SPEC)).toContain("acpi=on");
  });

  test("network off means no network card at all", () => {
    expect(text({ network: "off" })).not.toMatch(/netdev|virtio-net/);
  });

  test("a tap is opened as it is, and no script is run for it", () => {
    const behind = (behindCard: BehindCard): string | undefined => {
      const args = qemuArgs(SPEC, UNIX, { ...LINUX, behindCard });
      return args[args.indexOf("-netdev") + 1];
    };
    expect(behind({ kind: "tap", name: "smolvm3" })).toBe(
      "tap,id=net,ifname=smolvm3,script=no,downscript=no",
    );
    expect(behind({ kind: "open-tap", descriptor: 4 })).toBe("tap,id=net,fd=4");
    expect(behind({ kind: "nothing" })).toBe("hubport,id=net,hubid=0");
    expect(qemuArgs(SPEC, UNIX, LINUX).join(" ")).toContain(
      "virtio-net-device,netdev=net,mac=52:54:00:73:6d:6c",
    );
  });

  test("nothing ever listens for the guest on the host", () => {
    expect(text({})).not.toMatch(/hostfwd|guestfwd|smb=/);
  });

  test("gdb's stub listens where it was asked for, on loopback", () => {
    expect(text({ gdbPort: 1234 })).toContain("-gdb tcp:127.0.0.1:1234");
    expect(text({})).not.toContain("-gdb");
  });

  test("without seccomp in QEMU the option is left out", () => {
    expect(text({}, { sandbox: false })).not.toContain("-sandbox");
  });

  test("channel number n is the guest's port n + 1, and the kernel is told how many there are", () => {
    const args = text({});
    expect(args).toContain("nr=1,chardev=channel0");
    expect(args).toContain("nr=2,chardev=channel1");
    expect(args).toContain("smolvm.ports=2");
    expect(args).toContain("max_ports=3");
  });

  test("a comma in a path stays part of the path", () => {
    const disks = [{ serial: "extra-0", path: "/a,locking=off", format: "qcow2", readOnly: false }] as const;
    expect(text({ disks })).toContain("filename=/a,,locking=off,");
  });

  test("a disk that dies with its owner need not reach the host's platters, a user's own must", () => {
    const own = { serial: "extra-0", path: "/own.img", format: "raw", readOnly: false } as const;
    const options = text({ disks: [...SPEC.disks, own] }, { disposable: true }).split(" ");
    const unflushed = options.filter((option) => option.includes("cache.no-flush=on"));
    expect(unflushed.map((option) => /node-name=(\w+)/.exec(option)?.[1])).toEqual(["disk1", "disk1"]);
    expect(text({})).not.toContain("no-flush");
  });

  test("a machine without an initrd has no -initrd", () => {
    expect(text({ initrdPath: undefined })).not.toContain("-initrd");
  });

  test("an aarch64 guest with more memory than fits below 4 GiB uses high memory", () => {
    const virt = { arch: "aarch64", machine: "virt" } as const;
    expect(text({ ...virt, memSizeMib: 3_072 })).toContain("highmem=off");
    expect(text({ ...virt, memSizeMib: 3_073 })).toContain("highmem=on");
  });

  test("under HVF more than eight CPUs need the newer interrupt controller", () => {
    const virt = { arch: "aarch64", machine: "virt", accelerator: "hvf" } as const;
    expect(text({ ...virt, vcpuCount: 8 })).toContain("gic-version=2");
    expect(text({ ...virt, vcpuCount: 9 })).toContain("gic-version=3");
  });
});
