import type { ProcessExit, RunResult } from "../types.ts";
import type { Result } from "../wire/messages.ts";
import { signalName } from "./signals.ts";

/** Output up to this size, in bytes, is decoded at once; larger output when its string is first asked for. */
const DECODE_AT_ONCE = 1024 * 1024;

/** How a process ended, from the guest's result. A guest's exit code is cut to its 8 bits (wait(2)). */
export function processExit(result: Pick<Result, "exitCode" | "signal">, durationMs: number): ProcessExit {
  const number = result.signal & 0x7f;
  if (number !== 0) return { exitCode: 128 + number, signal: signalName(number), durationMs };
  return { exitCode: result.exitCode & 0xff, signal: undefined, durationMs };
}

/** Puts a result together. Decoding hundreds of MiB that nobody looks at as text would be a waste, so that waits. */
export function runResult(exit: ProcessExit, stdout: Buffer, stderr: Buffer, truncated: boolean): RunResult {
  const result = {
    exitCode: exit.exitCode,
    signal: exit.signal,
    stdout: "",
    stderr: "",
    stdoutBytes: stdout,
    stderrBytes: stderr,
    ok: exit.exitCode === 0,
    durationMs: exit.durationMs,
    truncated,
  };
  text(result, "stdout", stdout);
  text(result, "stderr", stderr);
  return result;
}

function text(result: { stdout: string; stderr: string }, name: "stdout" | "stderr", bytes: Buffer): void {
  if (bytes.length <= DECODE_AT_ONCE) {
    result[name] = bytes.toString("utf8");
    return;
  }
  let decoded: string | undefined;
  Object.defineProperty(result, name, {
    enumerable: true,
    configurable: true,
    get: () => {
      decoded ??= bytes.toString("utf8");
      return decoded;
    },
  });
}
