import { qemuOption } from "../../src/backends/qemu/option.ts";

/** A directory of the host that the lab may write: it is at the same path there. */
export interface Share {
  readonly tag: string;
  readonly directory: string;
}

export interface LabMachine {
  readonly kernelPath: string;
  readonly initrdPath: string;
  readonly cpus: number;
  readonly memMib: number;
  /** the host's TSC frequency; undefined: not known */
  readonly tscKhz: number | undefined;
  /** directory of the job's files, and of the sockets that the ports lead to */
  readonly jobDir: string;
  /** enter.sh */
  readonly script: string;
  readonly shares: readonly Share[];
  /** more words for its kernel, last so that they win */
  readonly bootArgs: string;
}

/** The lab's ports and the files of their sockets in the job's directory. */
export const LAB_PORTS = ["control", "out", "err"] as const;

/** The file of the socket where QEMU's own monitor answers, there too. */
export const LAB_MONITOR = "monitor";

/**
 * With the kernel's usual clock, timers of one shot, labs stood still for good. A cause that QEMU's source shows: when a guest of the lab is
 * entered or left (target/i386: helper_vmrun, do_vmexit), the processor's set of pending interrupts is changed without the lock that others
 * hold, so one that comes in that moment can be lost, and a timer of one shot is then never set again. A tick that repeats by itself makes up
 * for it 4 ms later. It is not the only cause: with two processors one lab in 44 boots still stood still, with one none did (CONTRIBUTING.md).
 */
const SELF_REPEATING_TICK = "nohz=off highres=off";

/** Everything that QEMU can emulate, but for the copying of single bytes that the kernel prefers where it is fast: here it is not. */
const CPU = "max,-erms,-fsrm";

/**
 * QEMU's arguments for a lab: pure emulation with AMD's SVM, so that the guest's kernel has a real KVM. Its console is
 * QEMU's stdout. The host's root is served read-only; paths there are the same as here. Pure.
 */
export function labArgs(machine: LabMachine): string[] {
  const words = [
    "console=ttyS0 quiet panic=-1 reboot=t no_timer_check mitigations=off",
    // See src/backends/qemu/kernel-args.ts: a busy host's lab cannot calibrate.
    ...(machine.tscKhz === undefined ? [] : [`tsc_early_khz=${machine.tscKhz} tsc=reliable`]),
    // Emulated page tables are slow to build; and a stall of the host is not a bug of the lab's kernel.
    "nowatchdog transparent_hugepage=never",
    `lab.job=${machine.jobDir} lab.script=${machine.script}`,
    SELF_REPEATING_TICK,
    machine.bootArgs,
  ];
  const monitor = `${machine.jobDir}/${LAB_MONITOR}`;
  return [
    ...["-M", "q35,smm=off,vmport=off", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
    ...["-accel", "tcg,thread=multi,tb-size=512", "-cpu", CPU],
    ...["-smp", String(machine.cpus), "-m", String(machine.memMib)],
    ...["-kernel", machine.kernelPath, "-initrd", machine.initrdPath, "-append", words.join(" ")],
    ...["-chardev", qemuOption("socket", { id: "monitor", path: monitor, server: true, wait: false })],
    ...["-mon", "chardev=monitor"],
    ...["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"],
    ...["-device", "virtio-serial-pci"],
    ...LAB_PORTS.flatMap((name) => [
      ...["-chardev", qemuOption("socket", { id: name, path: `${machine.jobDir}/${name}` })],
      ...["-device", `virtserialport,chardev=${name},name=lab.${name}`],
    ]),
    ...share("host", "/", true),
    ...machine.shares.flatMap(({ tag, directory }) => share(tag, directory, false)),
  ];
}

function share(tag: string, path: string, readonly: boolean): string[] {
  return [
    "-virtfs",
    qemuOption("local", { path, mount_tag: tag, security_model: "none", readonly, multidevs: "remap" }),
  ];
}
