import { rmSync as removeNow, renameSync as renameNow } from "node:fs";
import { rm as removeSoon, rename as renameSoon } from "node:fs/promises";

// Removing and renaming. Windows does neither to a file that somebody has open, nor to a directory with such a file in it; and a
// process that was killed closes its files some time after it has ended for all who look, as does a virus scanner that looks at
// what was just written. So where that can be the reason, it is tried again for a while. Elsewhere these are Node's own functions.
// Nothing else in src/ takes them from Node (tests/unit/layers.test.ts).

/** For how long it is tried again, in ms: then somebody has it open on purpose. */
export const GO_MS = 3_000;
/** Pauses between tries, in ms: each is twice the one before, up to the second. */
const FIRST_PAUSE_MS = 2;
const LONGEST_PAUSE_MS = 100;

/**
 * What Node calls the errors of a file that is open (ERROR_SHARING_VIOLATION, ERROR_ACCESS_DENIED for one that is about to go) and of a
 * directory from which something is about to go. A file that may not be removed is refused with the same codes: that is told later then.
 */
const HELD: ReadonlySet<string> = new Set(["EBUSY", "EPERM", "EACCES", "ENOTEMPTY"]);

const retries = process.platform === "win32";

function isHeld(error: unknown): boolean {
  return HELD.has((error as NodeJS.ErrnoException | undefined)?.code ?? "");
}

/** The pauses between tries, in ms, until `limitMs` of them are over. Pure. */
export function* pauses(limitMs: number): Generator<number> {
  let pause = FIRST_PAUSE_MS;
  for (let waited = 0; waited < limitMs; ) {
    yield pause;
    waited += pause;
    pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
  }
}

/** Does it, again and again while something has a file open that it wants to go. For tests: `again` and `limitMs`. @throws the last try's error */
export function insist<T>(act: () => T, again: boolean = retries, limitMs: number = GO_MS): T {
  if (again) {
    for (const pause of pauses(limitMs)) {
      try {
        return act();
      } catch (error) {
        if (!isHeld(error)) throw error;
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, pause);
      }
    }
  }
  return act();
}

/** {@link insist} for what is waited for. */
export async function insistAsync<T>(
  act: () => Promise<T>,
  again: boolean = retries,
  limitMs: number = GO_MS,
): Promise<T> {
  if (again) {
    for (const pause of pauses(limitMs)) {
      try {
        return await act();
      } catch (error) {
        if (!isHeld(error)) throw error;
        await new Promise((resolve) => setTimeout(resolve, pause));
      }
    }
  }
  return await act();
}

// What nobody can have open like this (an empty directory) goes at once, or it is not empty: rmdir is Node's own.

export const rmSync: typeof removeNow = retries
  ? (path, options) => insist(() => removeNow(path, options))
  : removeNow;

export const renameSync: typeof renameNow = retries
  ? (from, to) => insist(() => renameNow(from, to))
  : renameNow;

export const rm: typeof removeSoon = (path, options) => insistAsync(() => removeSoon(path, options));

export const rename: typeof renameSoon = (from, to) => insistAsync(() => renameSoon(from, to));
