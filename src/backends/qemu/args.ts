import type { DiskSpec, MachineSpec } from "../../config/spec.ts";
import { SmolVMError } from "../../errors.ts";
import { GUEST_MAC } from "../network-card.ts";
import { kernelArgs } from "./kernel-args.ts";
import { qemuOption } from "./option.ts";

/** How QEMU is reached. */
export type QemuEndpoints =
  /** it listens on Unix sockets; the guest's console is its stdout */
  | {
      readonly kind: "unix";
      /** QMP */
      readonly control: string;
      /** the channel's sockets; index 0 is kept for stop and the supervisor */
      readonly channels: readonly string[];
    }
  /**
   * Hosts without Unix sockets: QMP is its stdin and stdout, and for the console and each port of the channel it connects
   * to that port of loopback, where its monitor listens (host/relay/). So nobody can connect to QEMU.
   */
  | { readonly kind: "relay"; readonly port: string; readonly channels: number };

/** What the argv depends on besides the machine. */
export interface QemuHostFacts {
  readonly platform: NodeJS.Platform;
  /** the host's TSC frequency in kHz; undefined: unknown or not x86 */
  readonly tscKhz: number | undefined;
  /** this QEMU can put itself into its seccomp sandbox (Linux builds with seccomp) */
  readonly sandbox: boolean;
  /** the sandbox's own disk is gone after this process, or the host, has crashed: nothing of it need survive that */
  readonly disposable: boolean;
  /** what is behind the network card; absent: QEMU's user-mode network, libslirp */
  readonly behindCard?: BehindCard | undefined;
  /** the file that is the guest's memory, if it is one */
  readonly memory?: MemoryFile | undefined;
}

/** What is behind a network card. */
export type BehindCard =
  /** a tap that is there, for QEMU to open */
  | { readonly kind: "tap"; readonly name: string }
  /** a tap that is open already */
  | { readonly kind: "open-tap"; readonly descriptor: number }
  /** nothing: nobody takes what is sent, and nothing of it is saved with the machine */
  | { readonly kind: "nothing" };

/** A guest's memory that is a file. */
export interface MemoryFile {
  readonly path: string;
  /** "recorded": all that the guest writes goes into it; "restored": it is read alone, and QEMU waits for the state to go on from */
  readonly kind: "recorded" | "restored";
  /** this QEMU can open it for reading alone, and still give the guest a copy to write (8.2 and later) */
  readonly opensReadOnly: boolean;
}

/**
 * QEMU's own seccomp filter. spawn=deny also forbids what would start programs (exec: migration, ifup scripts);
 * elevateprivileges=deny forbids set*id: so -runas cannot be used with it.
 */
export const SANDBOX_OPTIONS = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";

/**
 * QEMU's default translation buffer is 1 GiB of the host's memory. Running Python, git and the like one after the other
 * fills about 115 MiB; more than that saved no time, 32 MiB cost up to a fifth more. A full buffer is begun anew.
 */
const TCG_BUFFER_MIB = 128;

/** Arm's virt machine with its devices below 4 GiB has at most this much room for memory. */
const VIRT_LOW_MEMORY_MAX_MIB = 3_072;

/** GICv2, the interrupt controller that every HVF offers, serves at most 8 CPUs. */
const GICV2_MAX_CPUS = 8;

/**
 * QEMU's arguments for a machine, without the program's name. Pure: the same spec on the same kind of host gives the
 * same arguments (templates depend on it).
 */
export function qemuArgs(spec: MachineSpec, endpoints: QemuEndpoints, host: QemuHostFacts): string[] {
  const bus = spec.machine === "q35" ? "pci" : "device";
  const sockets = channelSockets(endpoints);
  return [
    ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
    ...sandboxArgs(host),
    ...machineArgs(spec, host.memory),
    ...["-m", `${spec.memSizeMib}M`, "-smp", String(spec.vcpuCount)],
    ...memoryArgs(spec, host.memory),
    ...["-kernel", spec.kernelPath],
    ...(spec.initrdPath === undefined ? [] : ["-initrd", spec.initrdPath]),
    "-append",
    kernelArgs({
      arch: spec.arch,
      accelerator: spec.accelerator,
      tscKhz: host.tscKhz,
      noAcpi: spec.discovery === "command-line",
      ports: sockets.length,
      bootArgs: spec.bootArgs,
    }),
    ...controlArgs(endpoints),
    ...channelArgs(sockets, bus),
    ...spec.disks.flatMap((disk, index) =>
      diskArgs(disk, `disk${index}`, bus, host.disposable && disk.serial === UPPER_SERIAL),
    ),
    ...(spec.gdbPort === undefined ? [] : ["-gdb", `tcp:127.0.0.1:${spec.gdbPort}`]),
    // No virtio-rng: RDRAND (and Arm's RNDR) of an emulated CPU is the host's getrandom(2), and the agent gets entropy
    // from the host before anything else runs.
    ...networkArgs(spec, bus, host.behindCard),
  ];
}

function sandboxArgs(host: QemuHostFacts): string[] {
  return host.platform === "linux" && host.sandbox ? ["-sandbox", SANDBOX_OPTIONS] : [];
}

function machineArgs(spec: MachineSpec, memory: MemoryFile | undefined): string[] {
  return [
    ...["-machine", qemuOption(machineType(spec), { "memory-backend": memory && MEMORY_ID })],
    ...firmware(spec),
    ...[
      "-accel",
      spec.accelerator === "tcg" ? qemuOption("tcg", { "tb-size": TCG_BUFFER_MIB }) : accel(spec),
    ],
    ...["-cpu", cpuModel(spec)],
  ];
}

const MEMORY_ID = "memory";

/** Memory that is a file. What a machine is recorded with is what it must be restored with. */
function memoryArgs({ memSizeMib }: MachineSpec, memory: MemoryFile | undefined): string[] {
  if (memory === undefined) return [];
  const restored = memory.kind === "restored";
  return [
    "-object",
    qemuOption("memory-backend-file", {
      id: MEMORY_ID,
      size: `${memSizeMib}M`,
      "mem-path": memory.path,
      share: !restored,
      ...(restored && memory.opensReadOnly ? { readonly: true, rom: false } : {}),
    }),
    // The state comes without what begins a migration's (migration.ts).
    ...(restored ? ["-global", "migration.send-configuration=off", "-incoming", "defer"] : []),
  ];
}

/**
 * With ACPI microvm has SeaBIOS by default, which finds no kernel where QEMU gives it no ROM for that (10.2.91 for Windows, with x-option-roms off): the
 * guest wrote nothing, for ever. The firmware that it has without ACPI needs none. Elsewhere it stays what it is: snapshots were made with it.
 */
function firmware({ machine, discovery, transport }: MachineSpec): string[] {
  const seaBios = machine === "microvm" && discovery !== "command-line";
  return seaBios && transport === "tcp" ? ["-bios", "qboot.rom"] : [];
}

function machineType(spec: MachineSpec): string {
  switch (spec.machine) {
    case "microvm":
      // Without ACPI, QEMU itself adds the virtio devices to the kernel's command line; the distribution's kernels do not
      // understand that. The PIT and PIC stay: under emulation
      // a guest without them may never get its first timer tick. Without an RTC the kernel waits a second for one, twice.
      return qemuOption("microvm", {
        acpi: spec.discovery !== "command-line",
        rtc: true,
        "x-option-roms": false,
      });
    case "q35":
      return qemuOption("q35", {
        smm: false,
        vmport: false,
        sata: false,
        smbus: false,
        usb: false,
        graphics: false,
      });
    case "virt":
      return qemuOption("virt", {
        "gic-version": gicVersion(spec),
        highmem: spec.memSizeMib > VIRT_LOW_MEMORY_MAX_MIB,
      });
    case "firecracker":
      throw new SmolVMError("INTERNAL", "QEMU was given a machine of Firecracker");
  }
}

function gicVersion(spec: MachineSpec): string {
  if (spec.accelerator === "kvm") return "host";
  if (spec.accelerator === "hvf") return spec.vcpuCount <= GICV2_MAX_CPUS ? "2" : "3";
  return "3";
}

function accel(spec: MachineSpec): string {
  // WHPX cannot emulate the interrupt controller in the kernel for every guest.
  return spec.accelerator === "whpx" ? "whpx,kernel-irqchip=off" : spec.accelerator;
}

function cpuModel(spec: MachineSpec): string {
  if (spec.accelerator === "kvm" || spec.accelerator === "hvf") return "host";
  if (spec.accelerator !== "tcg") return "max";
  // Emulated pointer authentication with its own algorithm takes about half of an arm64 boot. A CPU that says it moves strings
  // fast (ERMS) is given them byte by byte, and emulated each byte is a turn: 4,096 for a page that is cleared instead of 512. FSRM
  // (since QEMU 8.1) promises the same for short ones, and without the first Linux 6.1 puts its memmove together wrongly, and hangs.
  return spec.arch === "aarch64" ? "max,pauth-impdef=on" : "max,-erms,-fsrm";
}

function controlArgs(endpoints: QemuEndpoints): string[] {
  // signal=off: a Ctrl-C byte on stdin is none of QEMU's business.
  const stdio = (id: string): string => qemuOption("stdio", { id, signal: false });
  const [console, qmp] =
    endpoints.kind === "unix"
      ? [stdio("console"), listening("qmp", endpoints.control)]
      : [connecting("console", endpoints.port), stdio("qmp")];
  return [
    "-chardev",
    console,
    "-serial",
    "chardev:console",
    "-chardev",
    qmp,
    "-mon",
    "chardev=qmp,mode=control",
  ];
}

/** The channel's sockets, in QEMU's words. */
function channelSockets(endpoints: QemuEndpoints): string[] {
  if (endpoints.kind === "unix") return endpoints.channels.map((path, n) => listening(`channel${n}`, path));
  return Array.from({ length: endpoints.channels }, (_, n) => connecting(`channel${n}`, endpoints.port));
}

function listening(id: string, path: string): string {
  return qemuOption("socket", { id, path, server: true, wait: false });
}

function connecting(id: string, port: string): string {
  return qemuOption("socket", { id, host: "127.0.0.1", port, ipv6: false, server: false });
}

function channelArgs(sockets: readonly string[], bus: string): string[] {
  if (sockets.length === 0) return [];
  return [
    // Port numbers begin at 1 (0 is for a virtio console); the driver sets up queues for max_ports of them.
    ...["-device", `virtio-serial-${bus},id=serial,max_ports=${sockets.length + 1}`],
    ...sockets.flatMap((socket, index) => [
      ...["-chardev", socket],
      "-device",
      qemuOption("virtserialport", {
        bus: "serial.0",
        nr: index + 1,
        chardev: `channel${index}`,
        name: `smolvm.${index}`,
      }),
    ]),
  ];
}

/** The serial number of the sandbox's own writable disk (PROTOCOL.md, section 4). */
const UPPER_SERIAL = "smolvm-upper";

function diskArgs(disk: DiskSpec, id: string, bus: string, disposable: boolean): string[] {
  const access = {
    "read-only": disk.readOnly,
    "auto-read-only": false,
    // The guest's fsync ends in the host's memory: it survives all but a crash of the host. Halves what fsync costs.
    "cache.no-flush": disposable ? true : undefined,
  };
  return [
    "-blockdev",
    qemuOption("", {
      "node-name": `${id}-file`,
      driver: "file",
      filename: disk.path,
      ...access,
      // What the guest discards is given back to the host's file system: disks stay sparse.
      discard: disk.readOnly ? undefined : "unmap",
    }),
    "-blockdev",
    qemuOption("", {
      "node-name": id,
      driver: disk.format,
      file: `${id}-file`,
      ...access,
      discard: disk.readOnly ? undefined : "unmap",
    }),
    "-device",
    qemuOption(`virtio-blk-${bus}`, {
      drive: id,
      serial: disk.serial,
      // When the host's disk is full, the guest's write fails. QEMU's default stops the whole machine, without a word.
      werror: disk.readOnly ? undefined : "report",
    }),
  ];
}

function networkArgs(spec: MachineSpec, bus: string, behind: BehindCard | undefined): string[] {
  if (spec.network !== "open") return [];
  return [
    ...["-netdev", netdev(behind)],
    ...[
      "-device",
      qemuOption(`virtio-net-${bus}`, {
        netdev: "net",
        mac: GUEST_MAC,
        romfile: bus === "pci" ? "" : undefined,
      }),
    ],
  ];
}

function netdev(behind: BehindCard | undefined): string {
  switch (behind?.kind) {
    case undefined:
      // IPv4 only: the plan gives the guest no IPv6 address, and what is not there need not be filtered.
      return qemuOption("user", { id: "net", ipv6: false });
    case "tap":
      // It is there and up: QEMU only opens it, and its seccomp filter lets it start no scripts.
      return qemuOption("tap", { id: "net", ifname: behind.name, script: "no", downscript: "no" });
    case "open-tap":
      return qemuOption("tap", { id: "net", fd: behind.descriptor });
    case "nothing":
      return qemuOption("hubport", { id: "net", hubid: 0 });
  }
}
