import type { Backend } from "../../backends/backend.ts";
import { backendOf } from "../../backends/registry.ts";
import { failpoint } from "../../host/failpoint.ts";
import type { VmFiles } from "../../host/files/filenames.ts";
import { STEADY } from "../../store/states.ts";
import { Deadline } from "../../util/deadline.ts";
import { filesOf, type Home } from "../home.ts";
import { takeDownEnclosure } from "../isolation/enclosure.ts";
import { bringDown, type StopStep } from "../machine/bring-down.ts";
import { deletedError, type VmRef } from "../recovery/deleted.ts";
import { noteStep } from "../recovery/step.ts";
import { withLock } from "./lock.ts";

/** How long a machine that is paused may take to go on before it is brought down the hard way. */
const RESUME_MS = 2_000;

/**
 * Stops a running sandbox: see {@link bringDown}. Stopping what is stopped is fine.
 * @throws SmolVMError VM_BUSY, VM_NOT_FOUND, HOST_FAILED if even SIGKILL did not end it
 */
export async function stopVm(home: Home, vm: VmRef, deadline: Deadline): Promise<StopStep | undefined> {
  const { id } = vm;
  return withLock(home, id, deadline, async (record) => {
    if (!record) throw deletedError(vm);
    if (!STEADY.has(record.state) || !record.vmm) return undefined;
    const { backend } = record.spec.machine;
    if (record.state === "paused") await resumeForItsEnd(backendOf(backend), filesOf(home, id));
    home.store.vms.transition(id, "stopping");
    noteStep(home, id, "stop:machine");
    const step = await bringDown(home, record, deadline);
    await takeDownEnclosure(home, id);
    failpoint("before stopped");
    home.store.leases.clear(id);
    home.store.vms.transition(id, "stopped", { vmm: null });
    return step;
  });
}

/** Its guest must run to end in order. */
async function resumeForItsEnd(backend: Backend, files: VmFiles): Promise<void> {
  try {
    await backend.resume?.(files, Deadline.within(RESUME_MS, "letting the machine go on"));
  } catch {
    // It is brought down all the same.
  }
}
