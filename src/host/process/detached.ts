import type { ChildProcess } from "node:child_process";
import { closeSync, openSync, statSync } from "node:fs";
import type { Readable } from "node:stream";
import { SmolVMError } from "../../errors.ts";
import { renameSync } from "../../util/files-go.ts";

/** A log that is larger than this when the next process begins to write to it is put aside as FILE.1, in bytes. */
const LOG_MAX_BYTES = 256 * 1024;

/**
 * Starts a program that goes on without this process: in a session of its own, with what it says in a log. Returns at once; that it could not be started
 * is seen by who waits for it.
 * @param argv the program, absolute, and its arguments
 * @throws SmolVMError HOST_FAILED: the log cannot be written
 */
export function startDetached(
  [program, ...args]: readonly [string, ...string[]],
  logPath: string,
  { env, stdout }: { readonly env: NodeJS.ProcessEnv; readonly stdout: "log" | "pipe" },
): ChildProcess {
  // Not imported: loading it takes as long as all that a command does, and few start anything.
  const { spawn } = process.getBuiltinModule("node:child_process");
  const log = openLog(logPath);
  try {
    const child = spawn(program, args, {
      detached: true,
      stdio: ["ignore", stdout === "log" ? log : "pipe", log],
      cwd: "/",
      env,
      windowsHide: true,
    });
    child.on("error", () => {});
    child.unref();
    return child;
  } finally {
    closeSync(log);
  }
}

/**
 * The same for a program that says on its stdout when it is ready.
 * @returns its stdout, to be destroyed then; it ends where the program could not be started
 */
export function startInBackground(argv: readonly [string, ...string[]], logPath: string): Readable {
  return startDetached(argv, logPath, { env: {}, stdout: "pipe" }).stdout as Readable;
}

function openLog(path: string): number {
  try {
    if ((statSync(path, { throwIfNoEntry: false })?.size ?? 0) > LOG_MAX_BYTES) renameSync(path, `${path}.1`);
    return openSync(path, "a", 0o600);
  } catch (error) {
    throw new SmolVMError("HOST_FAILED", `the log '${path}' cannot be written: ${(error as Error).message}`, {
      cause: error,
    });
  }
}
