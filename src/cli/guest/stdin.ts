import { createReadStream, fstatSync } from "node:fs";
import type { Readable, Writable } from "node:stream";
import { isTerminal } from "../../host/terminal/is-terminal.ts";

/** Device number of /dev/null on Linux, major 1, minor 3 (kernel.org, admin-guide/devices.txt). */
const DEV_NULL = 0x103;

/**
 * Whether the guest's command gets our stdin: with `-i`, and whenever it is not a terminal.
 * /dev/null is not worth a stream: a command without stdin has the guest's own.
 */
export function wantsStdin(interactive: boolean): boolean {
  if (isTerminal(0)) return interactive;
  try {
    return fstatSync(0).rdev !== DEV_NULL;
  } catch {
    return false; // closed
  }
}

/** Our stdin. Node shows what it does not know, a directory or a block device, as empty: that is read as what it is. */
export function ownStdin(): Readable {
  try {
    const stats = fstatSync(0);
    if (stats.isDirectory() || stats.isBlockDevice())
      return createReadStream("", { fd: 0, autoClose: false });
  } catch {
    // Closed: Node's has ended.
  }
  return process.stdin;
}

/**
 * Copies our stdin to the guest's as fast as the guest takes it. Returns what stops it: a stdin that never ends
 * must not keep anybody waiting once the command is over.
 */
export function forwardStdin(target: Writable): () => void {
  const source = ownStdin();
  // A directory, a broken file, a connection that was reset, a terminal in the background: what failed has not ended, and the
  // guest must not take what came for all that there is.
  source.on("error", (error) => target.destroy(error));
  // The command ended, or closed its stdin: nobody reads what is left.
  target.on("error", () => source.unpipe(target));
  source.pipe(target);
  return () => {
    source.unpipe(target);
    source.destroy();
  };
}
