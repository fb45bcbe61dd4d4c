import type { VmFiles } from "../../host/files/filenames.ts";
import { procCommandLines } from "../../host/process/command-lines.ts";
import {
  identify,
  isAlive,
  type ProcessIdentity,
  signalProcess,
} from "../../host/process/process-identity.ts";
import { waitForEnd } from "../../host/process/wait-end.ts";
import { Deadline } from "../../util/deadline.ts";
import { rmSync } from "../../util/files-go.ts";

/** It ends when it sees that the machine is gone, which takes it no time but that until it is let run. */
const ENDS_WITHIN_MS = 2_000;
/** How long one that does not may take when it is killed: what a file system of the host's does not answer keeps it for longer. */
const KILL_MS = 1_000;

/** Resolves when the server of a sandbox's host directories, whose machine has ended, has ended as well: from then on nobody has them open. */
export async function fileServerEnded({
  mounts,
  mountsDir,
}: Pick<VmFiles, "mounts" | "mountsDir">): Promise<void> {
  const processes = serverOf(mounts);
  if (!(await haveEnded(processes, ENDS_WITHIN_MS))) {
    // It was stopped, or hangs.
    for (const identity of processes) signalProcess(identity, "SIGKILL");
    await haveEnded(processes, KILL_MS);
  }
  rmSync(mountsDir, { recursive: true, force: true });
}

/** The server, and what is around it: they have the path of its socket among their arguments. */
function serverOf(control: string): ProcessIdentity[] {
  return procCommandLines()
    .filter(({ args }) => args.includes("serve") && args[args.lastIndexOf("--control") + 1] === control)
    .map(({ pid }) => identify(pid))
    .filter(isAlive);
}

async function haveEnded(processes: readonly ProcessIdentity[], withinMs: number): Promise<boolean> {
  const deadline = Deadline.within(withinMs, "the end of the server of host directories");
  await Promise.all(processes.map((identity) => waitForEnd(identity, deadline).catch(() => {})));
  return !processes.some(isAlive);
}
