/** Everything about commands in the guest: run, spawn, attach, list, signal. */
export { checkAttachOptions, checkKillOptions, checkRunOptions, checkSpawnOptions } from "./check-options.ts";
export { checkCommand } from "./exec-request.ts";
export { attachProcess, spawnProcess } from "./process.ts";
export { checkProcessId, listProcesses, signalProcess } from "./process-list.ts";
export { abortedEarly, runCommand } from "./run.ts";
export { isRunError, RunError } from "./run-error.ts";
