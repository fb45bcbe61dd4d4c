import type { AgentSession } from "../../agent/session/session.ts";
import type { VmRecord } from "../../store/vms.ts";
import type { Deadline } from "../../util/deadline.ts";
import type { Home } from "../home.ts";
import { askToLook } from "../supervisor/duties.ts";
import { BringKeeper } from "./bring-keeper.ts";

/**
 * Has the ports that a sandbox was made with lead to the host's services: by the supervisor those of a detached one, by this process those of any other.
 * Resolves when they do.
 * @param session a session of this process with it
 * @returns what ends it, where it is this process
 * @throws SmolVMError NOT_SUPPORTED where the user wants no supervisor, or by an older agent, PORT_IN_USE, HOST_FAILED, VM_BUSY, TIMEOUT, ABORTED, AGENT_LOST
 */
export async function bringPorts(
  home: Home,
  { id, spec }: VmRecord,
  session: () => Promise<AgentSession>,
  deadline: Deadline,
): Promise<BringKeeper | undefined> {
  if (spec.lifetime === "detached") {
    await askToLook(home, deadline);
    return undefined;
  }
  const keeper = new BringKeeper(home, id, spec.bring ?? [], session);
  await deadline.race(keeper.open());
  return keeper;
}
