import { untilMs } from "../../util/until-ms.ts";
import type { Home } from "../home.ts";
import { recover } from "../recovery/recover.ts";

/** What waits for the end of a sandbox's time, by its id. */
const timers = new Map<string, NodeJS.Timeout>();

/**
 * Removes a sandbox that dies with this process when its time is over, without keeping the process alive for that. Others
 * who look at it after that time do the same. Replaces what was said before.
 * @param expiresAt ms since the epoch; undefined: its time has no end
 */
export function expireLater(home: Home, id: string, expiresAt: number | undefined): void {
  clearTimeout(timers.get(id));
  timers.delete(id);
  if (expiresAt === undefined) return;
  const expire = (): void => {
    if (Date.now() < expiresAt) {
      expireLater(home, id, expiresAt); // a timer takes 24 days at most
      return;
    }
    timers.delete(id);
    const record = home.store.vms.find(id);
    // Somebody may be at work on it: then the next look, or the process's end, removes it.
    if (record) void recover(home, record).catch(() => {});
  };
  timers.set(id, setTimeout(expire, untilMs(expiresAt, Date.now())).unref());
}
