/** Of a process that this one has started an event tells that it has ended; for all others one has to look. */
const ends = new Map<number, Promise<void>>();

/** Notes when a child of this process ends, so that others than who started it can wait for that. @param ended resolves then, and never rejects */
export function noteChild(pid: number, ended: Promise<void>): void {
  ends.set(pid, ended);
  void ended.then(() => ends.delete(pid));
}

/** Resolves when `ms` are over, or, where it is a child of this process, as soon as it has ended. */
export async function pauseOrEnd(pid: number, ms: number): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, ms);
    void ends.get(pid)?.then(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}
