import { backendOf } from "../../backends/registry.ts";
import { SmolVMError } from "../../errors.ts";
import { failpoint } from "../../host/failpoint.ts";
import type { VmRecord } from "../../store/vms.ts";
import { Deadline } from "../../util/deadline.ts";
import { filesOf, type Home } from "../home.ts";
import { deletedError, type VmRef } from "../recovery/deleted.ts";
import { requireFeature } from "./features.ts";
import { withLock } from "./lock.ts";

/** How long a machine may take to go on that was to stand still, and could not be said to. */
const GO_ON_MS = 10_000;

/**
 * Lets a sandbox's processors stand still: it keeps its memory and uses no processor time. Pausing what is paused is fine.
 * @throws SmolVMError VM_STATE if it does not run, VM_NOT_FOUND, VM_BUSY, NOT_SUPPORTED, VMM_FAILED, TIMEOUT, ABORTED
 */
export async function pauseVm(home: Home, vm: VmRef, deadline: Deadline): Promise<void> {
  await withLock(home, vm.id, deadline, async (record) => {
    if (!record) throw deletedError(vm);
    if (record.state === "paused") return;
    if (record.state !== "running") throw notRunning(record);
    requireFeature(record.spec.machine.backend, "pause");
    await pauseMachine(home, record, deadline);
  });
}

/**
 * Lets a paused sandbox go on. Fine for one that runs.
 * @throws SmolVMError VM_STATE if it is down, VM_NOT_FOUND, VM_BUSY, VMM_FAILED, TIMEOUT, ABORTED
 */
export async function resumeVm(home: Home, vm: VmRef, deadline: Deadline): Promise<void> {
  await withLock(home, vm.id, deadline, async (record) => {
    if (!record) throw deletedError(vm);
    if (record.state === "running") return;
    if (record.state !== "paused") throw notRunning(record);
    await resumeMachine(home, record, deadline);
  });
}

/** For who holds the lock of a sandbox that runs. The state comes first: who finds it paused looks how the machine is. */
export async function pauseMachine(home: Home, { id, spec }: VmRecord, deadline: Deadline): Promise<void> {
  home.store.vms.transition(id, "paused");
  failpoint("before paused");
  try {
    await backendOf(spec.machine.backend).pause!(filesOf(home, id), deadline);
  } catch (error) {
    // It may stand still, although nobody waits for the answer any more. If it does not go on now, whoever finds it paused looks how it is.
    const deadline = Deadline.within(GO_ON_MS, "letting the sandbox go on");
    await resumeMachine(home, { id, spec }, deadline).catch(() => {});
    throw error;
  }
}

/** For who holds the lock of a paused sandbox. */
export async function resumeMachine(
  home: Home,
  { id, spec }: Pick<VmRecord, "id" | "spec">,
  deadline: Deadline,
): Promise<void> {
  await backendOf(spec.machine.backend).resume!(filesOf(home, id), deadline);
  failpoint("before resumed");
  home.store.vms.transition(id, "running");
}

function notRunning({ name, state, error }: VmRecord): SmolVMError {
  return new SmolVMError("VM_STATE", `sandbox '${name}' is ${state}, not running`, {
    hint: `Start it: smolvm start ${name}`,
    details: { state, error },
  });
}
