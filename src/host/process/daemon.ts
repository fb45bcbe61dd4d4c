import { packagedProgram } from "../package.ts";
import { startDetached } from "./detached.ts";

/** What a background process has no use for: options meant for the program that started it. */
const NOT_PASSED_ON = ["NODE_OPTIONS", "NODE_V8_COVERAGE", "SMOLVM_FAILPOINT"];

/**
 * Starts a Node program that goes on without this process: in a session of its own, with its output in a log. Returns at once.
 * @param module of ours, e.g. "supervisor/main"
 * @returns tells whether it has ended, or could not be started
 * @throws SmolVMError HOST_FAILED
 */
export function startDaemon(
  module: string,
  logPath: string,
  env: NodeJS.ProcessEnv,
  options: readonly string[] = [],
): () => boolean {
  const passedOn = Object.fromEntries(Object.entries(env).filter(([name]) => !NOT_PASSED_ON.includes(name)));
  // Who waits for it has a deadline, and the log.
  const argv: [string, ...string[]] = [...daemonCommand(module), ...options];
  const child = startDetached(argv, logPath, { env: passedOn, stdout: "log" });
  return () => child.pid === undefined || child.exitCode !== null || child.signalCode !== null;
}

/** The command line of such a program. */
export function daemonCommand(module: string): [string, ...string[]] {
  return [process.execPath, "--no-warnings", packagedProgram(module)];
}
