import { closeSync } from "node:fs";
import type { Readable } from "node:stream";
import { openLog } from "./daemon.ts";

/**
 * Starts a program that goes on without this process: in a session of its own, with its stderr in a log. Returns at once, with its stdout, which says when it is ready and is
 * to be destroyed then; it ends where the program could not be started.
 * @param argv the program, absolute, and its arguments
 * @throws SmolVMError HOST_FAILED: the log cannot be written
 */
export function startInBackground(argv: readonly [string, ...string[]], logPath: string): Readable {
  // Not imported: loading it takes as long as all that a command does, and few start anything.
  const { spawn } = process.getBuiltinModule("node:child_process");
  const [program, ...args] = argv;
  const log = openLog(logPath);
  try {
    const child = spawn(program, args, { detached: true, stdio: ["ignore", "pipe", log], cwd: "/", env: {} });
    child.on("error", () => {});
    child.unref();
    return child.stdout as Readable;
  } finally {
    closeSync(log);
  }
}
