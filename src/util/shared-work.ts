import type { Deadline } from "./deadline.ts";

/**
 * Work that several callers wait for, such as a boot: who gives up stops waiting, and the work is given up when the last
 * one has.
 */
export class SharedWork<T> {
  /** when it is over, however it ended; never rejects */
  readonly settled: Promise<void>;
  readonly #promise: Promise<T>;
  readonly #giveUp = new AbortController();
  #waiting = 0;

  /** @param work begins at once; its signal is aborted when nobody waits for it any more */
  constructor(work: (signal: AbortSignal) => Promise<T>) {
    this.#promise = work(this.#giveUp.signal);
    this.settled = this.#promise.then(
      () => {},
      () => {}, // those who wait are told
    );
  }

  /**
   * Waits for it. The last to give up waits until the work has ended, so that nothing goes on behind its back.
   * @throws what the work throws; the deadline's error for who gave up
   */
  async join(deadline: Deadline): Promise<T> {
    this.#waiting++;
    try {
      return await deadline.race(this.#promise);
    } catch (error) {
      if (deadline.expired && this.#waiting === 1) {
        this.#giveUp.abort(deadline.signal.reason);
        await this.settled;
      }
      throw error;
    } finally {
      this.#waiting--;
    }
  }
}
