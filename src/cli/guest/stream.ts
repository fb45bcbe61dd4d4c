import type { GuestProcess, ProcessExit } from "../../agent/types.ts";
import type { Io } from "../io.ts";
import { type EndSignal, signalExitCode } from "../terminal/interrupts.ts";
import { forwardStdin } from "./stdin.ts";

/** How long a reader that pauses is waited for once the command has failed. */
const LAST_OUTPUT_MS = 500;
/** After a polite signal that was not the user's own Ctrl-C, how long a command has before it is killed. */
const TERM_GRACE_MS = 5_000;

/**
 * Joins a guest command to our own stdout, stderr and (if `stdin`) stdin, byte for byte, until it ends.
 * A slow reader of ours slows the command down. Ctrl-C goes to the command, a second one kills it, a third ends us.
 * @throws SmolVMError as the command's result does; OutputClosed when our reader has gone
 */
export async function streamProcess(process: GuestProcess, io: Io, stdin: boolean): Promise<ProcessExit> {
  // At once: what reads its input is told to have started when that comes.
  const stopStdin = stdin ? forwardStdin(process.stdin) : undefined;
  let release: (() => void) | undefined;
  try {
    await process.started; // until then an interrupt aborts the start
    release = io.interrupts.handle(passSignals(process));
    return await orFailure(copyOutput(process, io), process);
  } finally {
    stopStdin?.();
    release?.();
  }
}

async function copyOutput(process: GuestProcess, io: Io): Promise<ProcessExit> {
  for await (const { stream, data } of process) await io[stream].write(data);
  return await process.wait();
}

/**
 * Waits for the copying to end. If the command fails (its time is over) while our reader pauses, the copying gets a last
 * moment and is then given up on, because the reader may never go on.
 */
async function orFailure(copying: Promise<ProcessExit>, process: GuestProcess): Promise<ProcessExit> {
  let timer: NodeJS.Timeout | undefined;
  const failed = new Promise<never>((_, reject) => {
    process.wait().catch((error) => {
      timer = setTimeout(() => reject(error), LAST_OUTPUT_MS);
    });
  });
  try {
    return await Promise.race([copying, failed]);
  } finally {
    clearTimeout(timer);
    copying.catch(() => {}); // given up on
  }
}

/** Hands signals on: the first as it is, the second as SIGKILL, the third ends this program. */
function passSignals(process: GuestProcess): (signal: EndSignal) => void {
  let count = 0;
  const kill = (signal: NodeJS.Signals): void => void process.kill(signal).catch(() => {}); // it has just ended
  return (signal) => {
    count++;
    if (count > 2) globalThis.process.exit(signalExitCode(signal));
    kill(count === 1 ? signal : "SIGKILL");
    if (count === 1 && signal !== "SIGINT") setTimeout(() => kill("SIGKILL"), TERM_GRACE_MS).unref();
  };
}
