import type { Deadline } from "../../util/deadline.ts";
import { isAlive, type ProcessIdentity } from "./process-identity.ts";

const FIRST_WAIT_MS = 1;
const LONGEST_WAIT_MS = 20;

/**
 * Resolves when exactly that process has ended, whoever started it. There is no event for a process that is not our
 * child, so this looks again after 1, 2, 4 ... 20 ms.
 * @throws SmolVMError TIMEOUT, ABORTED
 */
export async function waitForEnd(identity: ProcessIdentity, deadline: Deadline): Promise<void> {
  for (let wait = FIRST_WAIT_MS; isAlive(identity); wait = Math.min(wait * 2, LONGEST_WAIT_MS)) {
    await deadline.sleep(wait);
  }
}
