import { failpoint } from "../../host/failpoint.ts";
import type { Deadline } from "../../util/deadline.ts";
import type { Home } from "../home.ts";
import { takeDownEnclosure } from "../isolation/enclosure.ts";
import { bringDown, type StopStep } from "../machine/bring-down.ts";
import { deletedError, type VmRef } from "../recovery/deleted.ts";
import { noteStep } from "../recovery/step.ts";
import { withLock } from "./lock.ts";

/**
 * Stops a running sandbox: see {@link bringDown}. Stopping what is stopped is fine.
 * @throws SmolVMError VM_BUSY, VM_NOT_FOUND, HOST_FAILED if even SIGKILL did not end it
 */
export async function stopVm(home: Home, vm: VmRef, deadline: Deadline): Promise<StopStep | undefined> {
  const { id } = vm;
  return withLock(home, id, deadline, async (record) => {
    if (!record) throw deletedError(vm);
    if (record.state !== "running" || !record.vmm) return undefined;
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
