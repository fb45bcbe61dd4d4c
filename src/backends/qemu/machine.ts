import type { Arch, KernelOrigin, MachineSpec, MachineType } from "../../config/spec.ts";
import { SmolVMError } from "../../errors.ts";

/**
 * The machine type for a guest: microvm on x86_64 (no PCI: the fastest boot), or q35 where this QEMU has no firmware for that; virt on
 * aarch64. Pure.
 * @param noMicrovm why this QEMU has no microvm (trial.ts), if it has none
 * @throws SmolVMError CONFIG_INVALID: microvm or q35 for an aarch64 guest; BACKEND_UNAVAILABLE: microvm, which it has not
 */
export function chooseMachine(
  requested: "auto" | "microvm" | "q35",
  arch: Arch,
  noMicrovm?: string,
): MachineType {
  if (arch === "x86_64" && requested === "microvm" && noMicrovm !== undefined)
    throw new SmolVMError("BACKEND_UNAVAILABLE", `this QEMU has no machine microvm: ${noMicrovm}`, {
      hint: 'Use qemuMachine "auto", which takes q35 then, or point SMOLVM_QEMU to a QEMU with all of its firmware.',
      details: { qemuMachine: requested },
    });
  if (arch === "x86_64")
    return requested !== "auto" ? requested : noMicrovm === undefined ? "microvm" : "q35";
  if (requested === "auto") return "virt";
  throw new SmolVMError(
    "CONFIG_INVALID",
    `qemuMachine '${requested}' is for x86_64 guests, and arch is ${arch}`,
    {
      hint: 'Leave qemuMachine away (or "auto"): aarch64 guests run on the machine virt.',
      details: { qemuMachine: requested, arch },
    },
  );
}

/** Ports of its channel: for stop and the supervisor, for sessions, and for the server of host directories. Pure. */
export function channelPorts({
  sessionPorts,
  mountPort,
}: Pick<MachineSpec, "sessionPorts" | "mountPort">): number {
  return sessionPorts + (mountPort === true ? 2 : 1);
}

/** microvm without ACPI has one interrupt controller, and on it this many places for virtio devices. */
const PLACES_WITHOUT_ACPI = 8;

/**
 * How a guest finds its virtio devices: without ACPI where it can, because reading its tables takes about a fifth of the fast
 * kernel's emulated boot. Pure.
 */
export function chooseDiscovery({
  machine,
  kernel,
  disks,
  nic,
}: {
  machine: MachineType;
  kernel: KernelOrigin;
  disks: number;
  nic: boolean;
}): NonNullable<MachineSpec["discovery"]> {
  const devices = disks + (nic ? 1 : 0) + 1; // and the channels
  const can = machine === "microvm" && kernel === "fast" && devices <= PLACES_WITHOUT_ACPI;
  return can ? "command-line" : "acpi";
}
