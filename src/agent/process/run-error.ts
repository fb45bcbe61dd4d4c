import { type ErrorCode, SmolVMError, type SmolVMErrorOptions } from "../../errors.ts";
import type { RunResult } from "../types.ts";

/** Most bytes of each output that go into `details`, from its end; all of it is in `result`. */
const DETAIL_BYTES = 64 * 1024;

/**
 * A command that did not end as wanted: RUN_FAILED, RUN_TIMEOUT, RUN_ABORTED, OUTPUT_LIMIT, or the loss of its session
 * (OUTCOME_UNKNOWN, AGENT_LOST, AGENT_PROTOCOL). Carries what the command printed until then.
 */
export class RunError extends SmolVMError {
  /** as far as it is known: a command that was killed has exit code 137 and signal "SIGKILL" */
  readonly result: RunResult;

  constructor(code: ErrorCode, message: string, result: RunResult, options: SmolVMErrorOptions = {}) {
    super(code, message, {
      ...options,
      details: {
        ...options.details,
        exitCode: result.exitCode,
        signal: result.signal,
        durationMs: result.durationMs,
        stdout: tail(result.stdoutBytes),
        stderr: tail(result.stderrBytes),
      },
    });
    this.result = result;
  }
}

function tail(bytes: Uint8Array): string {
  const start = Math.max(0, bytes.length - DETAIL_BYTES);
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, bytes.length - start).toString("utf8");
}
