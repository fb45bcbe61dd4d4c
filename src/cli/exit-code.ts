import { type ErrorCode, isSmolVMError } from "../errors.ts";
import type { CommandSpec } from "./command.ts";
import { type EndSignal, signalExitCode } from "./terminal/interrupts.ts";
import { OutputClosed } from "./terminal/output.ts";

/** As timeout(1), env(1) and Docker have them. */
const EXIT_TIMEOUT = 124;
const EXIT_SMOLVM_FAILED = 125;
const EXIT_NOT_EXECUTABLE = 126;
const EXIT_NOT_FOUND = 127;
/** What the user can mend by typing something else. */
const WRONG_USAGE: ReadonlySet<ErrorCode> = new Set(["USAGE", "CONFIG_INVALID", "BACKEND_UNSUPPORTED"]);
/** 128 + SIGPIPE: what a program shows that wrote to a reader that has gone. */
const EXIT_OUTPUT_CLOSED = 141;

/**
 * The exit code for a command that failed. Pure.
 * @param interrupted the signal that the user sent meanwhile, if any
 */
export function failureExitCode(
  spec: Pick<CommandSpec, "exit"> | undefined,
  error: unknown,
  interrupted: EndSignal | undefined,
): number {
  if (error instanceof OutputClosed) return EXIT_OUTPUT_CLOSED;
  if (interrupted && isAborted(error)) return signalExitCode(interrupted);
  if (spec?.exit === "guest") {
    if (isSmolVMError(error, "RUN_TIMEOUT")) return EXIT_TIMEOUT;
    if (isSmolVMError(error, "COMMAND_NOT_EXECUTABLE")) return EXIT_NOT_EXECUTABLE;
    if (isSmolVMError(error, "COMMAND_NOT_FOUND")) return EXIT_NOT_FOUND;
    return EXIT_SMOLVM_FAILED;
  }
  return isSmolVMError(error) && WRONG_USAGE.has(error.code) ? 2 : 1;
}

function isAborted(error: unknown): boolean {
  return isSmolVMError(error, "ABORTED") || isSmolVMError(error, "RUN_ABORTED");
}
