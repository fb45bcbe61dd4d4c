import type { Endpoint } from "../../agent/session/endpoint.ts";
import { supervisorFiles } from "../../host/files/filenames.ts";
import { localAddress } from "../../host/relay/local-socket.ts";
import { Deadline } from "../../util/deadline.ts";
import type { Home } from "../home.ts";
import { ask, tell } from "./ask.ts";
import { ensureSupervisor } from "./ensure.ts";
import { encodeLine, type SupervisorRequest } from "./messages.ts";

/** How long a supervisor may take to look at all sandboxes, in ms. */
const LOOK_MS = 5_000;

/**
 * Has the supervisor listen on the ports that lead into a sandbox, before it is started.
 * @throws SmolVMError PORT_IN_USE, HOST_FAILED, NOT_SUPPORTED, TIMEOUT, ABORTED
 */
export async function openForwards(home: Home, id: string, deadline: Deadline): Promise<void> {
  await ensureSupervisor(home, deadline);
  await ask(socketOf(home), { op: "open", vm: id }, deadline);
}

/** Tells the supervisor, if there is one, that something has changed. What it misses now it finds by itself, later. */
export async function tellSupervisor(home: Home): Promise<void> {
  if (!home.store.supervisor.current()) return;
  const deadline = Deadline.within(LOOK_MS, "telling the supervisor");
  await ask(socketOf(home), { op: "look" }, deadline).catch(() => {});
}

/**
 * Leaves what was begun to the supervisor, if there is one.
 * @returns whether it was told; it does it, or, should it die over that, whoever looks at the sandbox next
 */
export async function leaveToSupervisor(home: Home): Promise<boolean> {
  if (!home.store.supervisor.current()) return false;
  const deadline = Deadline.within(LOOK_MS, "telling the supervisor");
  return await tell(socketOf(home), { op: "look" }, deadline).catch(() => false);
}

/**
 * Has the supervisor look at all sandboxes, and serve the doors of those that run.
 * @throws SmolVMError NOT_SUPPORTED, HOST_FAILED, TIMEOUT, ABORTED
 */
export async function askToLook(home: Home, deadline: Deadline): Promise<void> {
  await ensureSupervisor(home, deadline);
  await ask(socketOf(home), { op: "look" }, deadline);
}

/**
 * The way to a sandbox's agent through the supervisor, which any number of processes can go.
 * @throws SmolVMError NOT_SUPPORTED, HOST_FAILED, VM_STATE, AGENT_LOST, TIMEOUT, ABORTED
 */
export async function relayEndpoint(home: Home, id: string, deadline: Deadline): Promise<Endpoint> {
  await ensureSupervisor(home, deadline);
  await ask(socketOf(home), { op: "reach", vm: id }, deadline);
  return relayVia(home, id);
}

/** As {@link relayEndpoint}, through a supervisor that is known to have the sandbox's channel. */
export function relayVia(home: Home, id: string): Endpoint {
  const request: SupervisorRequest = { op: "relay", vm: id };
  const path = socketOf(home);
  return { kind: "unix", path, address: localAddress(path), greeting: encodeLine(request) };
}

function socketOf(home: Home): string {
  return supervisorFiles(home.paths).socket;
}
