import { readFileSync } from "node:fs";
import type { VmFiles } from "../../host/files/filenames.ts";
import { pauseOrEnd } from "../../host/process/own-children.ts";
import {
  isAlive,
  type ProcessIdentity,
  signalProcess,
  type VmmIdentity,
} from "../../host/process/process-identity.ts";
import { monotonicMs } from "../../util/monotonic.ts";
import { lastLines, readLog, tailOfLog } from "./console.ts";
import { kernelPanic, printable } from "./kernel-panic.ts";

/** What is read of a guest's console to tell how it ended: a panic's last words are some hundred lines at most. */
const CONSOLE_TAIL_BYTES = 64 * 1024;

/** How a VMM ended, from what its monitor wrote down. */
export type VmmEnd = { readonly kind: "stopped" } | { readonly kind: "crashed"; readonly message: string };

/** Waits until the VMM has ended, and its monitor has written that down; at most `timeoutMs`. Returns whether they have. */
export async function waitForExit(vmm: VmmIdentity, timeoutMs: number): Promise<boolean> {
  const until = monotonicMs() + timeoutMs;
  return (await gone(vmm, until)) && (await gone(vmm.monitor, until));
}

async function gone(process: ProcessIdentity, until: number): Promise<boolean> {
  // This may be anybody's process: look often at first, then less. A killed one takes 2 to 5 ms.
  for (let pause = 1; isAlive(process); pause = Math.min(pause * 1.05, 25)) {
    if (monotonicMs() > until) return false;
    await pauseOrEnd(process.pid, pause);
  }
  return true;
}

/** Kills the VMM at once, and its monitor if that does not end by itself. Returns whether they are gone. */
export async function killVmm(vmm: VmmIdentity): Promise<boolean> {
  signalProcess(vmm, "SIGKILL");
  if (await waitForExit(vmm, 5_000)) return true;
  signalProcess(vmm.monitor, "SIGKILL");
  return waitForExit(vmm, 5_000);
}

/**
 * Why a VMM that is not there any more has ended: a clean exit after the agent's goodbye was a stop, all else a crash.
 * (The guest could print the goodbye itself; then it only mislabels its own end.)
 */
export function explainEnd(files: VmFiles): VmmEnd {
  let exit: { code?: number | null; signal?: number | string | null };
  try {
    exit = JSON.parse(readFileSync(files.exit, "utf8"));
  } catch {
    return {
      kind: "crashed",
      message: "its machine was killed together with its monitor, or the host restarted",
    };
  }
  if (exit.signal !== null && exit.signal !== undefined) {
    return { kind: "crashed", message: `its machine was killed by signal ${exit.signal}` };
  }
  if (exit.code !== 0) {
    const said = tailOfLog(files.vmmLog, 3).join(" ");
    return {
      kind: "crashed",
      message: `its machine exited with code ${exit.code}${said ? `: ${said}` : ""}`,
    };
  }
  const console = readLog(files.console, CONSOLE_TAIL_BYTES);
  const said = lastLines(console, 20);
  if (said.some((line) => line.includes("smolvm-agent: goodbye"))) return { kind: "stopped" };
  const panic = kernelPanic(console);
  if (panic !== undefined) return { kind: "crashed", message: `the guest's kernel panicked: ${panic}` };
  const end = printable(said.at(-1) ?? "");
  return {
    kind: "crashed",
    message: `the guest ended without a goodbye (a reset)${end && `; its console ends: ${end}`}`,
  };
}
