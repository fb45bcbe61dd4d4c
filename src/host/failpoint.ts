import { readEnvironment } from "./environment.ts";

const wanted = readEnvironment(process.env).failpoint;

/**
 * A place at which a test can have this process die, as by a power failure: SIGKILL if `SMOLVM_FAILPOINT` has its name.
 * What such a death leaves behind must be found and cleared up by the next command.
 */
export function failpoint(name: string): void {
  if (name !== wanted) return;
  process.kill(process.pid, "SIGKILL");
  for (;;); // the signal is on its way
}
