import type { ReadStream, WriteStream } from "node:tty";
import type { GuestProcess, ProcessExit } from "../../agent/types.ts";
import { SmolVMError } from "../../errors.ts";
import { switchOffOutputProcessing } from "../../host/terminal/raw-terminal.ts";
import { monotonicMs } from "../../util/monotonic.ts";
import type { Io } from "../io.ts";
import { type EndSignal, signalExitCode } from "../terminal/interrupts.ts";
import { LeaveKey } from "../terminal/leave-key.ts";
import { TerminalModes } from "../terminal/modes.ts";
import { OutputClosed } from "../terminal/output.ts";

/** How long the guest may take to hear that its terminal has gone. */
const HANGUP_MS = 1_000;

const CTRL_C = Buffer.from("\x03");

export interface TerminalSize {
  readonly cols: number;
  readonly rows: number;
}

/**
 * Checks that there is a terminal to join to the guest's: asked before anything is made.
 * @throws SmolVMError USAGE
 */
export function requireTerminal(what: string, hint: string): void {
  const missing = !process.stdin.isTTY ? "stdin" : !process.stdout.isTTY ? "stdout" : undefined;
  if (missing === undefined) return;
  throw new SmolVMError("USAGE", `${what} needs a terminal, and ${missing} is not one`, { hint });
}

/** The terminal's size now. */
export function terminalSize(): TerminalSize {
  return { cols: process.stdout.columns || 80, rows: process.stdout.rows || 24 };
}

/**
 * Joins our terminal to a guest command that has one, until the command ends or the user leaves (Ctrl-] three times).
 * Keys go to the guest as they are, Ctrl-C included. The terminal is put back whatever happens.
 */
export async function terminalSession(guest: GuestProcess, io: Io): Promise<ProcessExit> {
  await guest.started; // until then an interrupt aborts the start
  const stdin = process.stdin as ReadStream;
  const stdout = process.stdout as WriteStream;
  const modes = new TerminalModes();
  const leaveKey = new LeaveKey();
  let left: (signal: EndSignal) => void = () => {};
  const leaving = new Promise<EndSignal>((resolve) => {
    left = resolve;
  });

  const restore = (): void => {
    stdin.setRawMode(false);
    const undo = modes.undo();
    if (undo !== "") stdout.write(undo);
  };
  const onInput = (data: Buffer): void => {
    guest.stdin.write(data);
    if (leaveKey.typed(data, monotonicMs())) left("SIGHUP");
  };
  const onInputEnd = (): void => left("SIGHUP");
  const resize = (): void => void guest.resize(terminalSize()).catch(() => {}); // it has just ended
  const onContinue = (): void => {
    // A shell that had us stopped has set the terminal to its own liking.
    stdin.setRawMode(false);
    makeRaw(stdin);
    resize();
  };
  // A Windows console that is raw gives Ctrl-C as a key. As an event it comes from another program, or from a console that is not all raw (wine's).
  const release = io.interrupts.handle((signal) => {
    if (signal === "SIGINT" && process.platform === "win32") onInput(CTRL_C);
    else left(signal);
  });

  guest.stdin.on("error", () => {}); // typed after the end
  process.on("exit", restore);
  makeRaw(stdin);
  stdin.on("data", onInput).on("end", onInputEnd).on("error", onInputEnd);
  stdout.on("resize", resize);
  process.on("SIGCONT", onContinue);
  try {
    const ended = output(guest, io, modes);
    const first = await Promise.race([ended, leaving]);
    if (typeof first !== "string") return first;
    ended.catch(() => {});
    return await hangUp(guest, first);
  } finally {
    stdin.off("data", onInput).off("end", onInputEnd).off("error", onInputEnd).pause();
    stdout.off("resize", resize);
    process.off("SIGCONT", onContinue);
    process.off("exit", restore);
    release();
    restore();
  }
}

function makeRaw(stdin: ReadStream): void {
  stdin.setRawMode(true);
  switchOffOutputProcessing();
}

async function output(guest: GuestProcess, io: Io, modes: TerminalModes): Promise<ProcessExit> {
  for await (const { data } of guest) {
    modes.saw(data);
    await io.stdout.write(data);
  }
  return await guest.wait();
}

/** Tells the guest that its terminal has gone; one that does not listen is left alone. */
async function hangUp(guest: GuestProcess, signal: EndSignal): Promise<ProcessExit> {
  let timer: NodeJS.Timeout | undefined;
  const patience = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, HANGUP_MS);
  });
  const told = guest.kill("SIGHUP").then(
    () => guest.wait().then(() => {}),
    () => {},
  );
  await Promise.race([told.catch(() => {}), patience]);
  clearTimeout(timer);
  if (signal === "SIGHUP" && process.stdout.destroyed) throw new OutputClosed("the terminal has gone");
  return { exitCode: signalExitCode(signal), signal: undefined, durationMs: 0, stoppedBy: undefined };
}
