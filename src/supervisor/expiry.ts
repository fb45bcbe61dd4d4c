import type { VmRecord } from "../store/vms.ts";

/** A timer is set for at most this long, in ms: the host may sleep, and Node's own limit is 2^31 - 1. */
const LONGEST_MS = 30_000;

/** How long to wait until the next sandbox's time is over, of those that no process sees to; undefined if there is none. Pure. */
export function nextExpiryMs(
  records: readonly Pick<VmRecord, "expiresAt" | "owner">[],
  now: number,
): number | undefined {
  const times = records.flatMap(({ expiresAt, owner }) =>
    expiresAt === undefined || owner !== undefined ? [] : [expiresAt],
  );
  if (times.length === 0) return undefined;
  return Math.min(Math.max(0, Math.min(...times) - now), LONGEST_MS);
}
