/** Ctrl-], as in telnet(1). */
const LEAVE = 0x1d;
const TIMES = 3;
const WITHIN_MS = 1_000;

/** Sees Ctrl-] typed three times within a second: the way out of a terminal whose guest no longer answers. Pure. */
export class LeaveKey {
  #times: number[] = [];

  /** @returns true when the last of them is in `typed` */
  typed(typed: Uint8Array, now: number): boolean {
    for (const byte of typed) {
      if (byte !== LEAVE) {
        this.#times = [];
        continue;
      }
      this.#times = [...this.#times.filter((time) => now - time <= WITHIN_MS), now];
      if (this.#times.length >= TIMES) return true;
    }
    return false;
  }
}
