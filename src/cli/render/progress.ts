import type { Progress } from "../../config/progress.ts";
import { escapeTerminal } from "../../util/escape-terminal.ts";

/** Stages quicker than this are not worth a line that would only flicker. */
const SHOW_AFTER_MS = 150;
/** Without a terminal a stage gets its line when it takes this long, so that a quick `run` leaves stderr to the guest. */
const PLAIN_AFTER_MS = 3_000;
const REDRAW_MS = 100;

/** One line that says what is being done and for how long. Pure. */
export function progressLine(progress: Progress, elapsedMs: number, columns: number): string {
  const percent = progress.fraction === undefined ? "" : ` ${Math.floor(progress.fraction * 100)}%`;
  const line = `${escapeTerminal(progress.message)}${percent} (${(elapsedMs / 1000).toFixed(1)} s)`;
  return line.length < columns ? line : line.slice(0, Math.max(0, columns - 1));
}

/** What the display needs of the world. */
export interface ProgressTerminal {
  readonly isTTY: boolean;
  readonly columns: () => number;
  readonly write: (text: string) => void;
  readonly now: () => number;
}

/**
 * Shows the stage of something slow: one line that is redrawn on a terminal, else a line for each stage that lasts.
 * Nothing keeps the process alive for it.
 */
export class ProgressDisplay {
  readonly #terminal: ProgressTerminal;
  #progress: Progress | undefined;
  #startedAt = 0;
  #stageAt = 0;
  #drawn = false;
  #announced = false;
  /** what its stage began with: says most of it, where there is one line for all */
  #first = "";
  #timer: NodeJS.Timeout | undefined;

  constructor(terminal: ProgressTerminal) {
    this.#terminal = terminal;
  }

  /** A stage began or went on. */
  update(progress: Progress): void {
    const now = this.#terminal.now();
    if (!this.#timer) {
      this.#startedAt = now;
      this.#timer = setInterval(() => this.#tick(), REDRAW_MS);
      this.#timer.unref();
    }
    if (progress.stage !== this.#progress?.stage) {
      this.#stageAt = now;
      this.#announced = false;
      this.#first = progress.message;
    }
    this.#progress = progress;
    this.#tick();
  }

  /** Takes the line away. A later update begins anew. */
  end(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#progress = undefined;
    if (this.#drawn) this.#terminal.write("\r\x1b[K");
    this.#drawn = false;
  }

  #tick(): void {
    if (!this.#progress) return;
    const { isTTY, columns, now, write } = this.#terminal;
    if (isTTY) {
      const elapsed = now() - this.#startedAt;
      if (elapsed < SHOW_AFTER_MS) return;
      this.#drawn = true;
      write(`\r${progressLine(this.#progress, elapsed, columns())}\x1b[K`);
    } else if (!this.#announced && now() - this.#stageAt >= PLAIN_AFTER_MS) {
      this.#announced = true;
      write(`${escapeTerminal(this.#first)} ...\n`);
    }
  }
}
