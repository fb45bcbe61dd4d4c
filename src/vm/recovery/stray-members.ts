import type { Home } from "../home.ts";
import { discard } from "./recover.ts";

/**
 * Removes what waits in pools that are gone: who removed those was killed over it, or was still making one. One that somebody is at work on is
 * left. Returns their names.
 */
export async function removeStrayMembers(home: Home): Promise<string[]> {
  const { vms } = home.store;
  const removed: string[] = [];
  for (const { id, name } of vms.strayInPools()) {
    if (vms.tryLock(id)) continue;
    try {
      const now = vms.find(id);
      if (now?.pool === undefined) continue; // it was taken, or removed
      await discard(home, now);
      removed.push(name);
    } finally {
      vms.unlock(id);
    }
  }
  return removed;
}
