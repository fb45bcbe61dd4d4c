import type { VmRecord } from "../store/vms.ts";
import { untilMs } from "../util/until-ms.ts";

/** How long to wait until the next sandbox's time is over, of those that no process sees to; undefined if there is none. Pure. */
export function nextExpiryMs(
  records: readonly Pick<VmRecord, "expiresAt" | "owner">[],
  now: number,
): number | undefined {
  const times = records.flatMap(({ expiresAt, owner }) =>
    expiresAt === undefined || owner !== undefined ? [] : [expiresAt],
  );
  return times.length === 0 ? undefined : untilMs(Math.min(...times), now);
}
