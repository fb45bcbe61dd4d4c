import type { Accelerator, Arch } from "../../config/spec.ts";

export interface KernelArgsInput {
  readonly arch: Arch;
  readonly accelerator: Accelerator;
  /** the host's TSC frequency in kHz; undefined: unknown */
  readonly tscKhz: number | undefined;
  /** the machine has no ACPI tables */
  readonly noAcpi: boolean;
  /** virtio-serial ports that the agent serves, port 0 of the channel included */
  readonly ports: number;
  /** the user's own additions, last so that they win */
  readonly bootArgs: string;
}

/**
 * The kernel's command line
 * (https://www.kernel.org/doc/html/v6.1/admin-guide/kernel-parameters.html). Pure.
 */
export function kernelArgs(input: KernelArgsInput): string {
  const x86 = input.arch === "x86_64";
  const emulated = input.accelerator === "tcg";
  const args = [
    `console=${x86 ? "ttyS0" : "ttyAMA0"}`,
    // The console is emulated byte by byte: a chatty boot is a slow one. The agent's own stage lines still get out.
    "quiet",
    // A panic ends the machine at once (QEMU runs with -no-reboot), so a boot that fails is noticed at once.
    "panic=-1",
    // A triple fault is the one reset that every x86 machine type here turns into QEMU's exit. Arm has PSCI.
    ...(x86 ? ["reboot=t"] : []),
    // Looking for what is not there ends in a line that reads like a fault, the first of each console.
    ...(input.noAcpi ? ["acpi=off"] : []),
    // The host seeds the generator again through the agent (Configure.entropy); this only keeps the boot from waiting.
    "random.trust_cpu=on",
    // The self-tests of ciphers take a fifth of an emulated boot of a distribution's kernel.
    "cryptomgr.notests",
    // Clearing every allocation is a hardening inside the guest, which is not the wall here, and emulated it costs a tenth.
    ...(emulated ? ["init_on_alloc=0"] : []),
    // QEMU up to 7.2 finds translated code by its virtual address, so a program that starts at a random one is translated
    // anew each time: 36 of 45 ms of a dynamic /bin/true. Inside: sysctl kernel.randomize_va_space=2 brings it back.
    ...(emulated ? ["norandmaps"] : []),
    ...(x86 && emulated ? emulatedX86(input.tscKhz) : []),
    `smolvm.ports=${input.ports}`,
    input.bootArgs.trim(),
  ];
  return args.filter((arg) => arg !== "").join(" ");
}

function emulatedX86(tscKhz: number | undefined): string[] {
  return [
    // Calibrating the TSC against the emulated timer fails on a busy host, and the guest then waits for ever for a tick.
    // The kernel's watchdog, too, compares the TSC with ticks that a busy host delivers late or not at all: it would take
    // the ticks for the truth, and the guest's clock would go slow, in steps of 4 ms. The TSC is the host's own counter.
    ...(tscKhz === undefined ? [] : [`tsc_early_khz=${Math.round(tscKhz)}`, "tsc=reliable"]),
    "no_timer_check",
    // Emulated code does not speculate: the mitigations only cost time. A guest under KVM or HVF keeps them.
    "mitigations=off",
  ];
}
