import { dirname, join } from "node:path";
import type { SmolVMError } from "../../errors.ts";
import type { Environment } from "../../host/environment.ts";
import { findProgram } from "../../host/process/find-program.ts";
import { programMissing, runProgram } from "../../host/process/run.ts";
import { Deadline } from "../../util/deadline.ts";
import { readVersion } from "./version.ts";

const USUAL_DIRECTORIES = ["/usr/local/bin", "/usr/bin"];

/** Path of Firecracker, or undefined. `SMOLVM_FIRECRACKER` is the only place looked at when it is set. Starts nothing. */
export function locateFirecracker(env: Environment): string | undefined {
  if (env.firecracker !== undefined) return findProgram(env.firecracker, env.path);
  return findProgram("firecracker", env.path, USUAL_DIRECTORIES);
}

/** Path of the jailer: beside Firecracker, else as programs are found. Starts nothing. */
export function locateJailer(firecracker: string, env: Environment): string | undefined {
  return (
    findProgram(join(dirname(firecracker), "jailer"), "") ??
    findProgram("jailer", env.path, USUAL_DIRECTORIES)
  );
}

/** The error for a Firecracker that is not there. */
export function firecrackerMissing(env: Environment): SmolVMError {
  return programMissing(
    "firecracker",
    env.firecracker === undefined
      ? "Install it: smolvm setup"
      : `SMOLVM_FIRECRACKER is '${env.firecracker}', which is no such program. Correct it, or: unset SMOLVM_FIRECRACKER`,
  );
}

/** Slow hosts need far more than a second for a first start. */
const PROBE_TIMEOUT_MS = 15_000;

/**
 * The version that Firecracker or its jailer says it is; undefined: it says none.
 * @throws SmolVMError TIMEOUT, HOST_FAILED
 */
export async function versionOf(path: string): Promise<string | undefined> {
  const deadline = Deadline.within(PROBE_TIMEOUT_MS, `asking ${path} for its version`);
  return readVersion((await runProgram([path, "--version"], { deadline, check: false })).stdout);
}
