/** The life of a sandbox. `starting`, `stopping` and `deleting` are only seen while somebody works on it, or died doing so. */
export type VmState =
  | "created"
  | "starting"
  | "running"
  | "paused"
  | "stopping"
  | "stopped"
  | "error"
  | "deleting";

/** Which states may follow which. */
export const TRANSITIONS: Readonly<Record<VmState, readonly VmState[]>> = {
  created: ["starting", "deleting"],
  starting: ["running", "error", "deleting"],
  running: ["paused", "stopping", "stopped", "error", "deleting"],
  paused: ["running", "stopping", "stopped", "error", "deleting"],
  stopping: ["stopped", "error", "deleting"],
  stopped: ["starting", "deleting"],
  error: ["starting", "stopping", "stopped", "deleting"],
  deleting: ["deleting"],
};

/** The states in which a machine may run. */
export const MAY_RUN: ReadonlySet<VmState> = new Set(["starting", "running", "paused", "stopping"]);

/** The states in which no machine runs: what it had is given back on the way into them. */
export const HAS_NO_MACHINE: ReadonlySet<VmState> = new Set(["created", "stopped", "error"]);

/** The states in which a machine is there to stay: it runs, or its processors stand still. */
export const STEADY: ReadonlySet<VmState> = new Set(["running", "paused"]);

/** The states in which nothing is under way. */
export const SETTLED: ReadonlySet<VmState> = new Set([...HAS_NO_MACHINE, ...STEADY]);
