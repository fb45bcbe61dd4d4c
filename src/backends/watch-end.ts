import type { Deadline } from "../util/deadline.ts";
import { monotonicMs } from "../util/monotonic.ts";
import type { LaunchedMachine } from "./backend.ts";
import { vmmExitError } from "./vmm-exit.ts";

/**
 * Rejects when a VMM ends, with what it says of why. It ends some day: only who waits for something else meanwhile has to look.
 * @param program as in {@link vmmExitError}
 * @param startedAt from when the time is counted, in ms of the monotonic clock
 */
export function rejectAtEnd(
  program: string,
  { exited }: Pick<LaunchedMachine, "exited">,
  startedAt: number,
): Promise<never> {
  const ended = exited.then((exit) => {
    throw vmmExitError(program, exit, monotonicMs() - startedAt);
  });
  ended.catch(() => {});
  return ended;
}

/** Nobody reads it: without a reason, one is made that has a stack. */
const OVER = "over";

/**
 * Does `act`, unless one of `ends` rejects first: then it is given up, by the deadline that it gets, so that it does not go on for nobody.
 * @throws what rejects first
 */
export async function unlessOver<T>(
  deadline: Deadline,
  ends: readonly Promise<never>[],
  act: (own: Deadline) => Promise<T>,
): Promise<T> {
  const over = new AbortController();
  const acting = act(deadline.endedBy(over.signal));
  try {
    return await Promise.race([...ends, acting]);
  } finally {
    acting.catch(() => {}); // given up
    over.abort(OVER);
  }
}
