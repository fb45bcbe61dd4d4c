/** Everything about commands in the guest: run, spawn, attach, list, signal. */
export { checkRunOptions, checkSpawnOptions } from "./check-options.ts";
export { attachProcess, spawnProcess } from "./process.ts";
export { listProcesses, type SignalOptions, signalProcess } from "./process-list.ts";
export { DEFAULT_MAX_OUTPUT_BYTES, runCommand } from "./run.ts";
export { RunError } from "./run-error.ts";
