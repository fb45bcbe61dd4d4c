import {
  ERROR_BRAND,
  type ErrorCode,
  errorClass,
  isSmolVMError,
  SmolVMError,
  type SmolVMErrorOptions,
} from "../../errors.ts";
import type { FailedRun } from "../types.ts";

/** Most bytes of each output that go into `details`, from its end; all of it is in `result`. */
const DETAIL_BYTES = 64 * 1024;

/**
 * A command of `run` that did not end as wanted: RUN_FAILED, RUN_TIMEOUT, RUN_ABORTED, OUTPUT_LIMIT, HOST_FAILED (its stdin could not be
 * read), or the loss of its session (OUTCOME_UNKNOWN, AGENT_LOST, AGENT_PROTOCOL). Carries what the command printed until then.
 */
export class RunError extends SmolVMError {
  /** what the command printed, and how it ended as far as that is known */
  readonly result: FailedRun;

  /** @internal */
  constructor(code: ErrorCode, message: string, result: FailedRun, options: SmolVMErrorOptions = {}) {
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

Object.defineProperty(RunError.prototype, ERROR_BRAND, { value: "RunError" });

/** True for a RunError, of that code if one is given: an error of `run` that has a `result`. Also for one of another copy of this package. */
export function isRunError(error: unknown, code?: ErrorCode): error is RunError {
  return errorClass(error) === "RunError" && isSmolVMError(error, code);
}

function tail(bytes: Uint8Array): string {
  const start = Math.max(0, bytes.length - DETAIL_BYTES);
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, bytes.length - start).toString("utf8");
}
