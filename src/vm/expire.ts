import type { Home } from "./home.ts";
import { recover } from "./recover.ts";

/** A timer is set for at most this long, in ms: the host may sleep, and Node's own limit is 2^31 - 1. */
const LONGEST_MS = 30_000;

/**
 * Removes a sandbox that dies with this process when its time is over, without keeping the process alive for that. Others
 * who look at it after that time do the same.
 */
export function expireLater(home: Home, id: string, expiresAt: number): void {
  setTimeout(
    () => {
      const record = home.store.vms.find(id);
      if (!record) return;
      if (Date.now() < expiresAt) expireLater(home, id, expiresAt);
      // Somebody may be at work on it: then the next look, or the process's end, removes it.
      else void recover(home, record).catch(() => {});
    },
    Math.min(Math.max(0, expiresAt - Date.now()), LONGEST_MS),
  ).unref();
}
