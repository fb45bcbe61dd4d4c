/**
 * What has to be undone if a longer act fails: push the undo before (or at) each step, and run them in reverse.
 * One failing undo does not keep the others from running.
 */
export class UndoStack {
  readonly #undos: { what: string; undo: () => unknown }[] = [];

  push(what: string, undo: () => unknown): void {
    this.#undos.push({ what, undo });
  }

  /** The act succeeded: forget the undos. */
  commit(): void {
    this.#undos.length = 0;
  }

  /** Runs all undos, last first. Returns what could not be undone. */
  async rollback(): Promise<{ what: string; error: unknown }[]> {
    const failures: { what: string; error: unknown }[] = [];
    for (let entry = this.#undos.pop(); entry; entry = this.#undos.pop()) {
      try {
        await entry.undo();
      } catch (error) {
        failures.push({ what: entry.what, error });
      }
    }
    return failures;
  }
}
