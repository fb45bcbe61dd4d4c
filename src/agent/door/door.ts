import type { AgentSession } from "../session/session.ts";
import { type DoorKnock, type Served, serveKnocks } from "./knocks.ts";

/**
 * Is told of the connections that leave a guest without a network card.
 * @param knock must not throw
 * @throws SmolVMError VM_BUSY if somebody else serves it, CONFIG_INVALID if it has none, TIMEOUT, AGENT_LOST, AGENT_PROTOCOL
 */
export function serveDoor(session: AgentSession, knock: (connection: DoorKnock) => void): Promise<Served> {
  return serveKnocks(session, { open: { door: {} }, ahead: true, what: "serving the sandbox's door" }, knock);
}
