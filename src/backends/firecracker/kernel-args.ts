import type { Arch } from "../../config/spec.ts";

/** The vsock port on which the agent listens for the host. */
export const AGENT_VSOCK_PORT = 1024;

export interface FirecrackerKernelArgsInput {
  readonly arch: Arch;
  /** serial numbers of the disks, in the order in which they are attached */
  readonly disks: readonly string[];
  /** the user's own additions, last so that they win */
  readonly bootArgs: string;
}

/**
 * The kernel's command line for a Firecracker machine
 * (https://www.kernel.org/doc/html/v6.1/admin-guide/kernel-parameters.html). Pure.
 */
export function firecrackerKernelArgs(input: FirecrackerKernelArgsInput): string {
  const x86 = input.arch === "x86_64";
  const args = [
    // Both architectures have a 16550 here, and each byte leaves the guest: a chatty boot is a slow one.
    "console=ttyS0",
    "quiet",
    // A panic ends the machine at once, so a boot that fails is noticed at once.
    "panic=-1",
    // The one reset that Firecracker turns into its exit on x86: the keyboard controller's. Arm has PSCI.
    ...(x86 ? ["reboot=k"] : []),
    // There is no PCI bus and of the keyboard controller only the reset: looking for them costs time.
    ...(x86 ? ["pci=off", "i8042.noaux", "i8042.nomux", "i8042.dumbkbd"] : []),
    // The clock is the host's: not to be calibrated, nor compared with timers that a busy host delivers late.
    ...(x86 ? ["tsc=reliable", "no_timer_check"] : []),
    // The host seeds the generator again through the agent (Configure.entropy); this only keeps the boot from waiting.
    "random.trust_cpu=on",
    "cryptomgr.notests",
    `smolvm.vsock=${AGENT_VSOCK_PORT}`,
    // Firecracker makes up the disks' serial numbers: the agent knows them by their order.
    ...(input.disks.length === 0 ? [] : [`smolvm.disks=${input.disks.join(",")}`]),
    input.bootArgs.trim(),
  ];
  return args.filter((arg) => arg !== "").join(" ");
}
