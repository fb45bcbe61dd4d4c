import { signalName } from "../../util/guest-signals.ts";
import type { FailedRun, OutputName, ProcessExit, RunOutput, RunResult, StoppedBy } from "../types.ts";
import type { Result } from "../wire/messages.ts";
import { type Interleaving, interleave } from "./interleaving.ts";

/** Output up to this size, in bytes, is decoded at once; larger output when its string is first asked for. */
const DECODE_AT_ONCE = 1024 * 1024;
const SIGKILL = 9;

/** How a process ended, from the guest's result. A guest's exit code is cut to its 8 bits (wait(2)). */
export function processExit(
  result: Pick<Result, "exitCode" | "signal">,
  durationMs: number,
  stoppedBy?: StoppedBy,
): ProcessExit {
  const number = result.signal & 0x7f;
  if (number !== 0) return { exitCode: 128 + number, signal: signalName(number), durationMs, stoppedBy };
  return { exitCode: result.exitCode & 0xff, signal: undefined, durationMs, stoppedBy };
}

/** How a process ended that was stopped, from the guest's answer to that: killed, unless it had ended by itself just before. */
export function stoppedExit(result: Result, durationMs: number, stoppedBy?: StoppedBy): ProcessExit {
  const exit = result.error === undefined ? result : { exitCode: 0, signal: SIGKILL };
  return processExit(exit, durationMs, stoppedBy);
}

/** What was captured of a command's output. */
export interface Captured {
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  readonly order: Interleaving;
  readonly truncated: boolean;
}

/** Puts a result together. */
export function runResult(exit: ProcessExit, captured: Captured): RunResult {
  const ok = exit.exitCode === 0 && exit.stoppedBy === undefined;
  return withOutput({ ...exit, ok }, captured);
}

/** The result of a command whose end is not known. */
export function unknownResult(durationMs: number, captured: Captured, stoppedBy?: StoppedBy): FailedRun {
  const exit = { exitCode: undefined, signal: undefined, durationMs, stoppedBy, ok: false };
  return withOutput(exit, captured);
}

/** Decoding hundreds of MiB that nobody looks at as text would be a waste, so that waits. */
function withOutput<Exit extends object>(exit: Exit, captured: Captured): Exit & RunOutput {
  const { stdout, stderr, order, truncated } = captured;
  const result = {
    ...exit,
    stdout: "",
    stderr: "",
    output: "",
    stdoutBytes: stdout,
    stderrBytes: stderr,
    truncated,
  };
  text(result, "stdout", stdout.length, () => stdout.toString("utf8"));
  text(result, "stderr", stderr.length, () => stderr.toString("utf8"));
  text(result, "output", stdout.length + stderr.length, () =>
    stderr.length === 0
      ? result.stdout
      : stdout.length === 0
        ? result.stderr
        : interleave(stdout, stderr, order),
  );
  return result;
}

function text(
  result: Record<OutputName | "output", string>,
  name: OutputName | "output",
  bytes: number,
  decode: () => string,
): void {
  if (bytes <= DECODE_AT_ONCE) {
    result[name] = decode();
    return;
  }
  let decoded: string | undefined;
  Object.defineProperty(result, name, {
    enumerable: true,
    configurable: true,
    get: () => {
      decoded ??= decode();
      return decoded;
    },
  });
}
