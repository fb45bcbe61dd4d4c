import { isSmolVMError, SmolVMError } from "../../errors.ts";
import type { VmRecord } from "../../store/vms.ts";
import type { Deadline } from "../../util/deadline.ts";
import { type Home, noteEnd } from "../home.ts";
import { recoverLocked } from "../recovery/recover.ts";

/** How often a waiting process looks whether the other one is done. Changing a sandbox takes far longer than this. */
const RETRY_MS = 20;

/** {@link withLock} for the process that made the sandbox just now, and has its lock since then. */
export async function withOwnLock<T>(
  home: Home,
  id: string,
  _deadline: Deadline,
  act: (record: VmRecord | undefined) => Promise<T>,
): Promise<T> {
  try {
    return await act(home.store.vms.find(id));
  } finally {
    release(home, id);
  }
}

/**
 * Runs `act` as the only one that changes this sandbox, waiting for others within the deadline.
 * @param act gets the record as the others left it, in line with the host; undefined: they have removed it
 * @throws SmolVMError VM_BUSY naming the process that holds it, ABORTED; what `act` throws
 */
export async function withLock<T>(
  home: Home,
  id: string,
  deadline: Deadline,
  act: (record: VmRecord | undefined) => Promise<T>,
): Promise<T> {
  for (;;) {
    const holder = home.store.vms.tryLock(id);
    if (!holder) break;
    if (deadline.limits.signal?.aborted) throw deadline.error();
    if (deadline.expired || deadline.remainingMs <= RETRY_MS) {
      throw new SmolVMError("VM_BUSY", `process ${holder.pid} is changing this sandbox`, {
        hint: "Wait for it to finish, or raise timeoutMs.",
        details: { pid: holder.pid },
      });
    }
    await deadline.sleep(RETRY_MS);
  }
  try {
    return await act(await recoverLocked(home, id));
  } finally {
    release(home, id);
  }
}

/**
 * Gives a lock back. A disk that others fill at this moment may have no room even for that: then it is given back as soon as there is some; of a
 * process that ends before, nobody waits for the lock.
 */
function release(home: Home, id: string): void {
  try {
    noteEnd(home, () => home.store.vms.unlock(id));
  } catch (error) {
    if (!isSmolVMError(error, "NO_SPACE")) throw error;
    setTimeout(() => releaseLater(home, id), RETRY_MS).unref();
  }
}

function releaseLater(home: Home, id: string): void {
  try {
    release(home, id);
  } catch {
    // the store is closed, or broken: who looks next says so
  }
}
