import { release } from "../../agent/machine.ts";
import { AgentSession } from "../../agent/session/session.ts";
import { backendOf } from "../../backends/registry.ts";
import { HELLO_TIMEOUT_MS } from "../../config/defaults.ts";
import type { VmRecord } from "../../store/vms.ts";
import { Deadline } from "../../util/deadline.ts";
import { endpointOf, filesOf, type Home } from "../home.ts";
import { relayVia } from "../supervisor/duties.ts";
import { firstRequest } from "./first-request.ts";

/** How long each of the steps may take, whatever the guest does: as long as a command waits for its agent, because nobody tries again. */
const STEP_MS = HELLO_TIMEOUT_MS;

/**
 * Whoever captured a machine died over it, or could not finish: what was stopped and frozen for that goes on. A machine that is paused
 * stays so. What does not work is left: the sandbox answers, or it does not.
 */
export async function letGoOn(home: Home, record: VmRecord): Promise<void> {
  if (record.state !== "running") return;
  try {
    const backend = backendOf(record.spec.machine.backend);
    await backend.resume?.(filesOf(home, record.id), Deadline.within(STEP_MS, "letting the machine go on"));
    const deadline = Deadline.within(STEP_MS, "letting the sandbox go on");
    const { session } = await firstRequest(
      () => controlSession(home, record, deadline, backend.features.captureEndsSessions),
      (over) => release(over, deadline.limits),
    );
    await session.close();
  } catch {
    // Hung or gone: whoever needs it is told.
  }
}

/**
 * A session over the port that no command uses: itself, or through the supervisor if that has it.
 * @param afterCapture the machine was just captured, which may have ended connections
 */
export async function controlSession(
  home: Home,
  record: VmRecord,
  deadline: Deadline,
  afterCapture = false,
): Promise<AgentSession> {
  const viaSupervisor = home.store.leases.controlHolder(record.id) !== undefined;
  const endpoint = viaSupervisor ? relayVia(home, record.id) : endpointOf(home, record, 0);
  return await AgentSession.connect(endpoint, { deadline, fresh: viaSupervisor, afterCapture });
}
