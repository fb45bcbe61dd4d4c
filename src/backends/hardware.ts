import type { Accelerator, Arch, BackendName, MachineType, NetworkCard } from "../config/spec.ts";
import { SmolVMError } from "../errors.ts";
import { hostArch } from "../host/hardware/facts.ts";
import { kvmFacts } from "../host/hardware/kvm.ts";
import { type BackendHost, processHost } from "./host.ts";
import { type AcceleratorFacts, chooseAccelerator } from "./qemu/accel.ts";
import { locateQemu } from "./qemu/locate.ts";
import { chooseMachine } from "./qemu/machine.ts";
import { probeQemu } from "./qemu/probe.ts";
import { type QemuTrial, tryQemu } from "./qemu/trial.ts";

/** What a user asked of the machine. */
export interface HardwareRequest {
  readonly backend: BackendName;
  readonly arch: Arch;
  readonly accelerator: "auto" | Accelerator;
  readonly machine: "auto" | "microvm" | "q35";
  readonly qemuNetwork?: NetworkCard | undefined;
}

/**
 * The machine type and accelerator of a sandbox on this host. Cheap: a few system calls once QEMU was probed.
 * @throws SmolVMError KVM_UNAVAILABLE, BACKEND_UNAVAILABLE, CONFIG_INVALID
 */
export async function chooseHardware(
  request: HardwareRequest,
  host: BackendHost = processHost(),
): Promise<{ readonly machine: MachineType; readonly accelerator: Accelerator }> {
  if (request.backend === "firecracker") {
    const refusal = machineRefusal(request);
    if (refusal === undefined) return { machine: "firecracker", accelerator: "kvm" };
    throw new SmolVMError("CONFIG_INVALID", `${refusal.option}: ${refusal.reason}`, {
      hint: `Leave ${refusal.option} away, or use backend "qemu".`,
      details: { option: refusal.option },
    });
  }
  const wanted = chooseMachine(request.machine, request.arch);
  const { trial, ...facts } = await acceleratorFacts(request.arch, host, wanted);
  return {
    machine: chooseMachine(request.machine, request.arch, trial?.microvm),
    accelerator: chooseAccelerator(request.accelerator, request.arch, facts),
  };
}

/** What was asked of the machine that Firecracker does not have; undefined if nothing was. Pure. */
export function machineRefusal(
  wanted: Partial<Pick<HardwareRequest, "accelerator" | "machine" | "qemuNetwork">>,
): { readonly option: "qemuMachine" | "qemuNetwork" | "accelerator"; readonly reason: string } | undefined {
  const { machine = "auto", accelerator = "auto", qemuNetwork } = wanted;
  if (machine !== "auto")
    return { option: "qemuMachine", reason: `Firecracker has no machine '${machine}', which is QEMU's` };
  if (qemuNetwork !== undefined)
    return { option: "qemuNetwork", reason: "it is QEMU's network, and Firecracker's is always a tap" };
  if (accelerator !== "auto" && accelerator !== "kvm")
    return { option: "accelerator", reason: `Firecracker runs with kvm only, not with '${accelerator}'` };
  return undefined;
}

/** Gathers what decides about accelerators on this host, and what its QEMU could not do when it was tried. */
async function acceleratorFacts(
  arch: Arch,
  host: BackendHost,
  machine: MachineType,
): Promise<AcceleratorFacts & { readonly trial: QemuTrial | undefined }> {
  const path = locateQemu(arch, host, { machine });
  const probe = path === undefined ? undefined : await probeQemu(path, host.cacheDir);
  const tried = { guests: arch, host: hostArch(), cacheDir: host.cacheDir };
  const trial = path === undefined || !probe ? undefined : await tryQemu(path, probe, tried);
  return {
    platform: process.platform,
    hostArch: hostArch(),
    kvm: kvmFacts(hostArch()),
    built: probe?.accelerators,
    tried: trial?.hardware,
    trial,
  };
}
