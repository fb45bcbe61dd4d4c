import type { BuildEvent } from "./types.ts";

/** What a step is told of with when it starts. */
export type StepShown = Omit<Extract<BuildEvent, { type: "start" }>, "type" | "step">;

/** What a build tells of itself: of each step when it happens, and at the end how many there were and what was odd. */
export class Report {
  readonly warnings: string[] = [];
  readonly #tell: (event: BuildEvent) => void;
  #steps = 0;
  #cached = 0;

  constructor(tell: (event: BuildEvent) => void) {
    this.#tell = tell;
  }

  /** @param act carries the step of that number out, and gives whether what it makes was known */
  async step(shown: StepShown, act: (step: number) => Promise<boolean>): Promise<void> {
    const step = ++this.#steps;
    const startedAt = Date.now();
    this.#tell({ type: "start", step, ...shown });
    try {
      const cached = await act(step);
      if (cached) this.#cached++;
      this.#tell({ type: "done", step, cached, durationMs: Date.now() - startedAt });
    } catch (error) {
      this.#tell({ type: "failed", step });
      throw error;
    }
  }

  output(step: number, name: "stdout" | "stderr", data: Uint8Array): void {
    this.#tell({ type: "output", step, name, data });
  }

  get steps(): { readonly carriedOut: number; readonly cached: number } {
    return { carriedOut: this.#steps - this.#cached, cached: this.#cached };
  }
}
