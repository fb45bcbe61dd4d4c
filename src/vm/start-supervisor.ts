import { readEnvironment } from "../host/environment.ts";
import { supervisorFiles } from "../host/files/filenames.ts";
import type { Paths } from "../host/files/paths.ts";
import { startDaemon } from "../host/process/daemon.ts";

/** The supervisor's program, of ours. */
export const SUPERVISOR_PROGRAM = "supervisor/main";

/** False where the user wants no process in the background. */
export function supervisorAllowed(): boolean {
  return readEnvironment(process.env).supervisor !== "off";
}

/**
 * Starts the home's supervisor in the background, and does not wait for it. One too many ends by itself.
 * @returns tells whether it has ended
 */
export function startSupervisor(paths: Paths): () => boolean {
  return startDaemon(SUPERVISOR_PROGRAM, supervisorFiles(paths).log, process.env);
}
