import type { Accelerator, Arch, MachineType } from "../config/spec.ts";
import { hostArch } from "../host/facts.ts";
import { kvmFacts } from "../host/kvm.ts";
import { type BackendHost, processHost } from "./host.ts";
import { type AcceleratorFacts, chooseAccelerator } from "./qemu/accel.ts";
import { locateQemu } from "./qemu/locate.ts";
import { chooseMachine } from "./qemu/machine.ts";
import { probeQemu } from "./qemu/probe.ts";

/** What a user asked of QEMU's machine. */
export interface HardwareRequest {
  readonly arch: Arch;
  readonly accelerator: "auto" | Accelerator;
  readonly machine: "auto" | "microvm" | "q35";
}

/**
 * The machine type and accelerator of a QEMU sandbox on this host. Cheap: a few system calls once QEMU was probed.
 * @throws SmolVMError KVM_UNAVAILABLE, BACKEND_UNAVAILABLE, CONFIG_INVALID
 */
export async function chooseHardware(
  request: HardwareRequest,
  host: BackendHost = processHost(),
): Promise<{ readonly machine: MachineType; readonly accelerator: Accelerator }> {
  const machine = chooseMachine(request.machine, request.arch);
  const facts = await acceleratorFacts(request.arch, host);
  return { machine, accelerator: chooseAccelerator(request.accelerator, request.arch, facts) };
}

/** Gathers what decides about accelerators on this host. */
export async function acceleratorFacts(arch: Arch, host: BackendHost): Promise<AcceleratorFacts> {
  const path = locateQemu(arch, host.env);
  const probe = path === undefined ? undefined : await probeQemu(path, host.cacheDir);
  return {
    platform: process.platform,
    hostArch: hostArch(),
    kvm: kvmFacts(hostArch()),
    built: probe?.accelerators,
  };
}
