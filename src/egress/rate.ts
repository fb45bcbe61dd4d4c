import { Transform } from "node:stream";

/** What may pass at once without waiting, in ms of the rate: less would wait for timers more than for its turn. */
const BURST_MS = 50;
const BYTES_PER_MBIT = 125_000;

/** What all connections of a sandbox in one direction may carry together. */
export class Rate {
  readonly #bytesPerMs: number;
  /** until when what has passed takes, on the clock of `now` */
  #busyUntil = Number.NEGATIVE_INFINITY;

  /** @param mbps millions of bits in a second */
  constructor(mbps: number) {
    this.#bytesPerMs = (mbps * BYTES_PER_MBIT) / 1000;
  }

  /**
   * Counts bytes that are about to pass. Pure but for that.
   * @param now a clock's ms, which never goes back
   * @returns how long they are to wait, in ms
   */
  take(bytes: number, now: number): number {
    this.#busyUntil = Math.max(now, this.#busyUntil) + bytes / this.#bytesPerMs;
    return Math.max(0, this.#busyUntil - now - BURST_MS);
  }
}

/** A piece of a connection's way on which its bytes wait for their turn. */
export function throttle(rate: Rate): Transform {
  return new Transform({
    transform: (chunk: Buffer, _encoding, done) => {
      const waitMs = rate.take(chunk.length, performance.now());
      if (waitMs <= 0) done(null, chunk);
      else setTimeout(() => done(null, chunk), waitMs).unref();
    },
  });
}
