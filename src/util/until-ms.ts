/** A timer is set for at most this long, in ms: the host may sleep, and Node's own limit is 2^31 - 1. */
const LONGEST_MS = 30_000;

/** How long to set a timer for, to look at the clock again at `at` or somewhat before; both in ms since the epoch. Pure. */
export function untilMs(at: number, now: number): number {
  return Math.min(Math.max(0, at - now), LONGEST_MS);
}
