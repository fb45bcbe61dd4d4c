import { monotonicMs } from "./monotonic.ts";

/** How long work may hold the event loop, in ms: others' output and timers wait no longer than that. */
const SLICE_MS = 8;

/**
 * Lets many short synchronous steps share the event loop. A system call on a local disk takes microseconds, and handing it to
 * a thread and back several times that; so work of many small steps is done in place, and gives way every few milliseconds.
 */
export class TimeSlice {
  #until = monotonicMs() + SLICE_MS;

  /** To be called between steps: undefined, or a promise to await because the time is over. */
  breathe(): Promise<void> | undefined {
    if (monotonicMs() < this.#until) return undefined;
    return new Promise((resolve) =>
      setImmediate(() => {
        this.#until = monotonicMs() + SLICE_MS;
        resolve();
      }),
    );
  }
}
