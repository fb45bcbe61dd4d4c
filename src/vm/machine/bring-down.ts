import { shutdown } from "../../agent/machine.ts";
import { backendOf } from "../../backends/registry.ts";
import {
  STOP_AGENT_MS,
  STOP_GRACE_MS,
  STOP_INIT_GRACE_MS,
  STOP_SIGNAL_GRACE_MS,
  STOP_STEP_MS,
} from "../../config/defaults.ts";
import type { VmSpec } from "../../config/spec.ts";
import { SmolVMError } from "../../errors.ts";
import { signalProcess } from "../../host/process/process-identity.ts";
import type { VmRecord } from "../../store/vms.ts";
import { Deadline } from "../../util/deadline.ts";
import { signalNumber } from "../../util/guest-signals.ts";
import { filesOf, type Home } from "../home.ts";
import { controlSession } from "./go-on.ts";
import { killVmm, waitForExit } from "./vmm-process.ts";

/** How a machine was brought down: the gentlest step that worked. */
export type StopStep = "agent" | "quit" | "term" | "kill";

/**
 * Ends the machine of a sandbox: the agent ends all processes, syncs and says goodbye; if it does not, the VMM is told to
 * quit, then gets SIGTERM, then SIGKILL, each with its own limit.
 * @throws SmolVMError HOST_FAILED if even SIGKILL did not end it
 */
export async function bringDown(home: Home, record: VmRecord, deadline: Deadline): Promise<StopStep> {
  const vmm = record.vmm!;
  // A caller who has less time gets a harder stop sooner, never none at all.
  const limit = (ms: number): number => Math.max(100, Math.min(ms, deadline.remainingMs));

  const graceMs = stopGraceMs(record.spec);
  if (await sayGoodbye(home, record, graceMs, limit(STOP_AGENT_MS + graceMs))) {
    if (await waitForExit(vmm, limit(STOP_STEP_MS))) return "agent";
  }
  const backend = backendOf(record.spec.machine.backend);
  if (backend.quit !== undefined) {
    const quit = Deadline.within(limit(STOP_STEP_MS), "quitting the VMM");
    try {
      await backend.quit(filesOf(home, record.id), quit);
      if (await waitForExit(vmm, limit(STOP_STEP_MS))) return "quit";
    } catch {
      // A VMM that does not answer gets the next, harder step.
    }
  }
  signalProcess(vmm, "SIGTERM");
  if (await waitForExit(vmm, limit(STOP_STEP_MS))) return "term";
  if (await killVmm(vmm)) return "kill";
  throw new SmolVMError(
    "HOST_FAILED",
    `the VMM of sandbox '${record.name}' (process ${vmm.pid}) cannot be killed`,
    {
      details: { pid: vmm.pid },
    },
  );
}

/** Between asking and killing. */
function stopGraceMs({ init, imageSays }: VmSpec): number {
  if (init !== undefined) return STOP_INIT_GRACE_MS;
  return imageSays?.stopSignal === undefined ? STOP_GRACE_MS : STOP_SIGNAL_GRACE_MS;
}

/**
 * Asks the agent to shut the machine down, over the port that no command uses: itself, or through the supervisor if that
 * has it. Returns whether it said goodbye.
 */
async function sayGoodbye(
  home: Home,
  record: VmRecord,
  graceMs: number,
  timeoutMs: number,
): Promise<boolean> {
  const deadline = Deadline.of("shutting the guest down", { timeoutMs });
  try {
    const session = await controlSession(home, record, deadline);
    try {
      const { stopSignal: name } = record.spec.imageSays ?? {};
      const stopSignal = name === undefined ? undefined : signalNumber(name);
      await shutdown(session, { graceMs, stopSignal, ...deadline.limits });
      return true;
    } finally {
      await session.close();
    }
  } catch {
    return false; // hung, or gone: the caller goes on with harder steps
  }
}
