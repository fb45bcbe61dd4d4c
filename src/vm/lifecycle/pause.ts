import { backendOf } from "../../backends/registry.ts";
import { SmolVMError } from "../../errors.ts";
import { failpoint } from "../../host/failpoint.ts";
import type { VmRecord } from "../../store/vms.ts";
import { Deadline } from "../../util/deadline.ts";
import { filesOf, type Home } from "../home.ts";
import { deletedError, type VmRef } from "../recovery/deleted.ts";
import { requireFeature } from "./features.ts";
import { withLock } from "./lock.ts";

/** How long a machine may take to be again as it was, where it could not be said to be otherwise. */
const AS_IT_WAS_MS = 10_000;

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
  const backend = backendOf(spec.machine.backend);
  home.store.vms.transition(id, "paused");
  failpoint("before paused");
  try {
    await backend.pause!(filesOf(home, id), deadline);
  } catch (error) {
    // It may stand still, although nobody waits for the answer any more.
    const isAsItWas = await succeeds(backend.resume!(filesOf(home, id), asItWas()));
    if (isAsItWas) home.store.vms.transition(id, "running");
    throw error;
  }
}

/** For who holds the lock of a paused sandbox. */
export async function resumeMachine(home: Home, { id, spec }: VmRecord, deadline: Deadline): Promise<void> {
  const backend = backendOf(spec.machine.backend);
  try {
    await backend.resume!(filesOf(home, id), deadline);
  } catch (error) {
    await succeeds(backend.pause!(filesOf(home, id), asItWas()));
    throw error;
  }
  failpoint("before resumed");
  home.store.vms.transition(id, "running");
}

function asItWas(): Deadline {
  return Deadline.within(AS_IT_WAS_MS, "bringing the machine back to what it was");
}

function succeeds(done: Promise<void>): Promise<boolean> {
  return done.then(
    () => true,
    () => false,
  );
}

function notRunning({ name, state, error }: VmRecord): SmolVMError {
  return new SmolVMError("VM_STATE", `sandbox '${name}' is ${state}, not running`, {
    hint: `Start it: smolvm start ${name}`,
    details: { state, error },
  });
}
