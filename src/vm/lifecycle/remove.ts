import type { Deadline } from "../../util/deadline.ts";
import { type Home, makeRoomToRemove } from "../home.ts";
import { beginToDiscard, discard } from "../recovery/recover.ts";
import { withLock } from "./lock.ts";
import { requireRemovable } from "./may-remove.ts";

/**
 * Removes a sandbox with its disk. A running one is killed, if `force` is set. Removing what is gone is fine, also if others removed it
 * while this waited for them.
 * @throws SmolVMError VM_STATE for a running one without `force`, VM_BUSY
 */
export async function removeVm(
  home: Home,
  id: string,
  options: { force: boolean },
  deadline: Deadline,
): Promise<void> {
  makeRoomToRemove(home);
  await withLock(home, id, deadline, async (record) => {
    if (!record) return;
    requireRemovable(record, options.force);
    await discard(home, record);
  });
}

/**
 * {@link removeVm} by force, of which nobody waits for the end: its machine is killed, and the rest is the supervisor's, where there is one.
 * @throws SmolVMError VM_BUSY
 */
export async function removeBehind(home: Home, id: string, deadline: Deadline): Promise<void> {
  if (home.store.supervisor.current()) {
    const { leaveToSupervisor } = await import("../supervisor/duties.ts"); // where none runs nothing is left to it
    const begun = await withLock(home, id, deadline, async (record) => {
      if (record) beginToDiscard(home, record);
      return record !== undefined;
    });
    if (!begun || (await leaveToSupervisor(home))) return;
  }
  await removeVm(home, id, { force: true }, deadline);
}
