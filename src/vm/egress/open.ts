import type { AgentSession } from "../../agent/session/session.ts";
import type { VmRecord } from "../../store/vms.ts";
import type { Deadline } from "../../util/deadline.ts";
import type { Home } from "../home.ts";
import { askToLook } from "../supervisor/duties.ts";
import { DoorKeeper } from "./keeper.ts";

/**
 * Has the connections of a sandbox with a restricted network served: by the supervisor those of a detached one, by this process those of any other.
 * Resolves when they are.
 * @param session a session of this process with it
 * @returns what ends it, where it is this process
 * @throws SmolVMError NOT_SUPPORTED where the user wants no supervisor, HOST_FAILED, VM_BUSY if another process serves it, TIMEOUT, ABORTED, AGENT_LOST
 */
export async function openDoor(
  home: Home,
  { id, spec }: VmRecord,
  session: () => Promise<AgentSession>,
  deadline: Deadline,
): Promise<DoorKeeper | undefined> {
  if (spec.lifetime === "detached") {
    await askToLook(home, deadline);
    return undefined;
  }
  const keeper = new DoorKeeper(home, id, session);
  await deadline.race(keeper.open());
  return keeper;
}
