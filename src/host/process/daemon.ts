import { packagedProgram } from "../package.ts";
import { startDetached } from "./detached.ts";

/** What a background process has no use for: options meant for the program that started it. */
const NOT_PASSED_ON = ["NODE_OPTIONS", "NODE_V8_COVERAGE", "SMOLVM_FAILPOINT"];

/**
 * Starts a Node program that goes on without this process: in a session of its own, with its output in a log. Returns at once.
 * @param module of ours, e.g. "supervisor/main"
 * @throws SmolVMError HOST_FAILED
 */
export function startDaemon(
  module: string,
  logPath: string,
  env: NodeJS.ProcessEnv,
  options: readonly string[] = [],
): void {
  const passedOn = Object.fromEntries(Object.entries(env).filter(([name]) => !NOT_PASSED_ON.includes(name)));
  // Who waits for it has a deadline, and the log.
  startDetached([...daemonCommand(module), ...options], logPath, { env: passedOn, stdout: "log" });
}

/** The command line of such a program. */
export function daemonCommand(module: string): [string, ...string[]] {
  return [process.execPath, "--no-warnings", packagedProgram(module)];
}
