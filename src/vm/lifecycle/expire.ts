import { untilMs } from "../../util/until-ms.ts";
import type { Home } from "../home.ts";
import { recover } from "../recovery/recover.ts";

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
    untilMs(expiresAt, Date.now()),
  ).unref();
}
