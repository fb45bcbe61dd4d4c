import type { BackendName, LimitName, MachineSpec, VmmLimits } from "../config/spec.ts";

/** Memory that a VMM takes beside the guest's: QEMU's own, with emulation its translated code, and the page cache of its disks. */
const OVERHEAD_MIB: Readonly<Record<BackendName, number>> = { qemu: 384, firecracker: 128 };
/** For the VMM's own work beside the guest's CPUs: disks, network, console. */
const OWN_CPUS = 1;
/** QEMU's pool for blocking input and output has up to 64 threads; some are around it. */
const OWN_PIDS = 128;

/** All limits that there are. */
export const LIMITS: readonly LimitName[] = ["memoryMib", "cpus", "pids"];

const WORDS: Readonly<Record<LimitName, string>> = {
  memoryMib: "memory",
  cpus: "CPU time",
  pids: "processes",
};

/** "memory, CPU time and processes". Pure. */
export function limitWords(names: readonly LimitName[]): string {
  const words = LIMITS.filter((name) => names.includes(name)).map((name) => WORDS[name]);
  return words.join(", ").replace(/, ([^,]*)$/, " and $1");
}

/** What the VMM of a machine may use of the host at most. Pure. */
export function limitsFor(machine: Pick<MachineSpec, "backend" | "memSizeMib" | "vcpuCount">): VmmLimits {
  return {
    memoryMib: machine.memSizeMib + OVERHEAD_MIB[machine.backend],
    cpus: machine.vcpuCount + OWN_CPUS,
    pids: machine.vcpuCount + OWN_PIDS,
  };
}
