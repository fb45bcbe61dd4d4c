import type { VmFiles } from "../../host/files/filenames.ts";
import { type RunningMonitor, runningMonitors } from "../../host/monitor/monitors.ts";
import { isAlive, signalProcess } from "../../host/process/process-identity.ts";
import { waitForEnd } from "../../host/process/wait-end.ts";
import { Deadline } from "../../util/deadline.ts";

/** How long a monitor may take to end its machine when it gets SIGTERM. */
const TERM_MS = 2_000;
const KILL_MS = 5_000;

/** Ends the machines that run for a sandbox although nothing says so: their starter died before it could note them. */
export async function killOrphans({ exit, runtimeDir }: VmFiles): Promise<void> {
  const monitors = await runningMonitors(Deadline.within(KILL_MS, "looking for machines"), [runtimeDir]);
  for (const monitor of monitors) if (monitor.exit === exit) await killMonitor(monitor);
}

/** Ends a monitor and the machine under it: a monitor passes SIGTERM on, and its program dies with it. */
export async function killMonitor({ identity, stray }: RunningMonitor): Promise<void> {
  if (!stray) {
    signalProcess(identity, "SIGTERM");
    await waitForEnd(identity, Deadline.within(TERM_MS, "ending a machine")).catch(() => {}); // then harder
  }
  if (!isAlive(identity)) return;
  signalProcess(identity, "SIGKILL");
  await waitForEnd(identity, Deadline.within(KILL_MS, "ending a machine"));
}
