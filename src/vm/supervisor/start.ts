import { startDaemon } from "../../host/daemon.ts";
import { readEnvironment } from "../../host/environment.ts";
import type { Home } from "../home.ts";
import { supervisorFilesOf } from "./files.ts";

/** The supervisor's program, from src/host or dist/host. */
export const SUPERVISOR_SCRIPT = "../supervisor/main";

/** False where the user wants no process in the background. */
export function supervisorAllowed(): boolean {
  return readEnvironment(process.env).supervisor !== "off";
}

/** Starts the home's supervisor in the background, and does not wait for it. One too many ends by itself. */
export function startSupervisor(home: Home): void {
  startDaemon(SUPERVISOR_SCRIPT, supervisorFilesOf(home).log, process.env);
}
