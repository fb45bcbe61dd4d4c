/** How often something is asked before it counts as failed. */
export const ATTEMPTS = 5;
const FIRST_WAIT_MS = 250;
/** Who is told to wait longer than this is told so, instead of waiting. */
export const LONGEST_WAIT_MS = 60_000;

/** Whether a status says that it may be another one the next time. Pure. */
export function isPassing(status: number): boolean {
  return (
    status === 408 || status === 429 || status === 425 || (status >= 500 && status !== 501 && status !== 505)
  );
}

/**
 * How long to wait after an attempt that failed: as the server says, else twice as long as the time before. Pure.
 * @param attempt from 0
 * @param retryAfter the header: seconds, or a date
 * @returns ms
 */
export function waitMs(attempt: number, retryAfter: string | undefined, now: number): number {
  if (retryAfter !== undefined && /^\d{1,9}$/.test(retryAfter.trim())) return Number(retryAfter) * 1000;
  const date = retryAfter === undefined ? Number.NaN : Date.parse(retryAfter);
  if (!Number.isNaN(date)) return Math.max(0, date - now);
  return FIRST_WAIT_MS * 2 ** attempt;
}
