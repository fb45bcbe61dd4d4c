import { connect } from "node:net";
import type { VmFiles } from "../../host/files/filenames.ts";
import { procCommandLines } from "../../host/process/command-lines.ts";
import { identify, isAlive, signalProcess } from "../../host/process/process-identity.ts";
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
  const ended = await new Promise<boolean>((resolve) => {
    const socket = connect(mounts);
    let inTime = true;
    const timer = setTimeout(() => {
      inTime = false;
      socket.destroy();
    }, ENDS_WITHIN_MS);
    socket.on("error", () => {}); // nobody listens
    socket.on("close", () => {
      clearTimeout(timer);
      resolve(inTime);
    });
    socket.resume();
  });
  if (!ended) await killServer(mounts);
  rmSync(mountsDir, { recursive: true, force: true });
}

/** Ends one that was stopped, or hangs: it, and what is around it, have the path of its socket among their arguments. */
async function killServer(control: string): Promise<void> {
  const ofServer = ({ args }: { readonly args: readonly string[] }): boolean => {
    const at = args.lastIndexOf("--control");
    return args[at + 1] === control && args.includes("serve");
  };
  const deadline = Deadline.within(KILL_MS, "ending the server of host directories");
  const servers = procCommandLines().filter(ofServer);
  const identities = servers.map(({ pid }) => identify(pid)).filter(isAlive);
  for (const identity of identities) signalProcess(identity, "SIGKILL");
  await Promise.all(identities.map((identity) => waitForEnd(identity, deadline).catch(() => {})));
}
