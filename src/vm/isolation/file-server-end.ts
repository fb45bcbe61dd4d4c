import { connect } from "node:net";
import type { VmFiles } from "../../host/files/filenames.ts";
import { rmSync } from "../../util/files-go.ts";

/** It ends when it sees that the machine is gone, which takes it no time but that until it is let run. */
const ENDS_WITHIN_MS = 2_000;

/** Resolves when the server of a sandbox's host directories, whose machine has ended, has ended as well: from then on nobody has them open. */
export async function fileServerEnded({
  mounts,
  mountsDir,
}: Pick<VmFiles, "mounts" | "mountsDir">): Promise<void> {
  await new Promise<void>((resolve) => {
    const socket = connect(mounts);
    const timer = setTimeout(() => socket.destroy(), ENDS_WITHIN_MS);
    socket.on("error", () => {}); // nobody listens
    socket.on("close", () => {
      clearTimeout(timer);
      resolve();
    });
    socket.resume();
  });
  rmSync(mountsDir, { recursive: true, force: true });
}
