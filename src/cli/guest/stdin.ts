import { fstatSync } from "node:fs";
import type { Writable } from "node:stream";
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

/**
 * Copies our stdin to the guest's as fast as the guest takes it. Returns what stops it: a stdin that never ends
 * must not keep anybody waiting once the command is over.
 */
export function forwardStdin(target: Writable): () => void {
  const source = process.stdin;
  // A terminal in the background, a directory, a descriptor that cannot be read: the guest sees the end of its input.
  source.on("error", () => target.end());
  // The command ended, or closed its stdin: nobody reads what is left.
  target.on("error", () => source.unpipe(target));
  source.pipe(target);
  return () => {
    source.unpipe(target);
    source.destroy();
  };
}
