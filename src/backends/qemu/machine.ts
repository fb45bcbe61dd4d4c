import type { Arch, KernelOrigin, MachineSpec, MachineType } from "../../config/spec.ts";
import { SmolVMError } from "../../errors.ts";

/**
 * The machine type for a guest: microvm on x86_64 (no firmware, no PCI: the fastest boot), virt on aarch64. Pure.
 * @throws SmolVMError CONFIG_INVALID: microvm or q35 for an aarch64 guest
 */
export function chooseMachine(requested: "auto" | "microvm" | "q35", arch: Arch): MachineType {
  if (arch === "x86_64") return requested === "auto" ? "microvm" : requested;
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
