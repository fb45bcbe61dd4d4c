import type { Deadline } from "../../util/deadline.ts";
import { type Home, makeRoomToRemove } from "../home.ts";
import { discard } from "../recovery/recover.ts";
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
