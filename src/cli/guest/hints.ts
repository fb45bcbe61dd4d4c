import { isSmolVMError, SmolVMError } from "../../errors.ts";

/**
 * The same failure of a guest command with a hint for the command line instead of the library's. Pure.
 * @param prefix what was typed before the command, e.g. "smolvm exec box"
 */
export function withCommandHint(error: unknown, prefix: string, command: readonly string[]): unknown {
  if (!isSmolVMError(error)) return error;
  const hint = hintFor(error, prefix, command);
  if (hint === undefined) return error;
  const hinted = new SmolVMError(error.code, error.message, {
    hint,
    details: error.details,
    cause: error.cause,
  });
  if (error.stack !== undefined) hinted.stack = error.stack;
  return hinted;
}

function hintFor(error: SmolVMError, prefix: string, command: readonly string[]): string | undefined {
  switch (error.code) {
    case "RUN_TIMEOUT":
      return "Raise --timeout if it needs longer.";
    case "OUTPUT_LIMIT":
      return "Leave --json out: without it output is streamed and has no limit.";
    case "COMMAND_NOT_FOUND":
      // `exec box 'ls -la'` looks for a program named "ls -la": say what was most likely meant.
      return command.length === 1 && /[\s|&;<>$]/.test(command[0]!)
        ? `For a shell line write: ${prefix} -- sh -c '${command[0]!.replaceAll("'", "'\\''")}'`
        : "Give its full path, or install it in the sandbox.";
    default:
      return undefined;
  }
}
