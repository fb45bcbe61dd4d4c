import type { Arch, MachineType } from "../../config/spec.ts";
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
