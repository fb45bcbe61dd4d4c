import { Deadline } from "./deadline.ts";

/**
 * Calls `act` for 0 ... count - 1, at most `limit` at a time, in order. When one fails no new one is begun, the signal
 * that all of them got is aborted, and when the others have ended too the first failure is thrown.
 */
export async function concurrently<T>(
  count: number,
  limit: number,
  act: (index: number, signal: AbortSignal) => Promise<T>,
): Promise<T[]> {
  const results: T[] = [];
  const failed = new AbortController();
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count && !failed.signal.aborted) {
      const index = next++;
      try {
        results[index] = await act(index, failed.signal);
      } catch (error) {
        if (!failed.signal.aborted) failed.abort(error);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, count) }, worker));
  if (failed.signal.aborted) throw failed.signal.reason;
  return results;
}

/**
 * {@link concurrently} within a deadline: each call has one of its own, which is over with that, or when another call has failed.
 * @param what the work in the user's words
 * @throws the first failure; the deadline's error once that is over
 */
export async function concurrentlyWithin(
  deadline: Deadline,
  what: string,
  count: number,
  limit: number,
  act: (index: number, own: Deadline) => Promise<void>,
): Promise<void> {
  try {
    await concurrently(count, limit, (index, failed) =>
      act(index, Deadline.of(what, { signal: AbortSignal.any([deadline.signal, failed]) })),
    );
  } catch (error) {
    throw deadline.expired ? deadline.error() : error;
  }
}
