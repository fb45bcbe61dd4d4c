import { closeSync, openSync, statSync } from "node:fs";
import { SmolVMError } from "../../errors.ts";
import { renameSync } from "../../util/files-go.ts";
import { packagedProgram } from "../package.ts";

/** A log that is larger than this when the next process begins to write to it is put aside as FILE.1, in bytes. */
const LOG_MAX_BYTES = 256 * 1024;
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
  // Not imported: loading it takes as long as all that a command does, and few start anything.
  const { spawn } = process.getBuiltinModule("node:child_process");
  const [program, ...args] = daemonCommand(module);
  const log = openLog(logPath);
  try {
    const child = spawn(program, [...args, ...options], {
      detached: true,
      stdio: ["ignore", log, log],
      cwd: "/",
      env: Object.fromEntries(Object.entries(env).filter(([name]) => !NOT_PASSED_ON.includes(name))),
      windowsHide: true,
    });
    child.on("error", () => {}); // who waits for it has a deadline, and the log
    child.unref();
  } finally {
    closeSync(log);
  }
}

/** The command line of such a program. */
export function daemonCommand(module: string): [string, ...string[]] {
  return [process.execPath, "--no-warnings", packagedProgram(module)];
}

/** Opens a log to append to it; a long one is put aside first. @throws SmolVMError HOST_FAILED */
export function openLog(path: string): number {
  try {
    if ((statSync(path, { throwIfNoEntry: false })?.size ?? 0) > LOG_MAX_BYTES) renameSync(path, `${path}.1`);
    return openSync(path, "a", 0o600);
  } catch (error) {
    throw new SmolVMError("HOST_FAILED", `the log '${path}' cannot be written: ${(error as Error).message}`, {
      cause: error,
    });
  }
}
