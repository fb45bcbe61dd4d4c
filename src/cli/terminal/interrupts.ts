import { constants } from "node:os";

/** The signals by which a user or a system ends a program. */
export type EndSignal = "SIGINT" | "SIGTERM" | "SIGHUP";
const END_SIGNALS: readonly EndSignal[] = ["SIGINT", "SIGTERM", "SIGHUP"];

/** Shell convention for "ended by that signal" (bash(1), EXIT STATUS). */
export function signalExitCode(signal: string): number {
  return 128 + ((constants.signals as Record<string, number>)[signal] ?? 0);
}

/**
 * Ctrl-C and its relatives. By default the first one aborts {@link signal}, so that what is being made is cleaned up,
 * and the second ends the program at once. A command that can do better takes over with {@link handle}.
 */
export class Interrupts {
  readonly #controller = new AbortController();
  #handler: ((signal: EndSignal) => void) | undefined;
  #received: EndSignal | undefined;

  /** Aborted by the first signal that nobody handled. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** The first signal that nobody handled. */
  get received(): EndSignal | undefined {
    return this.#received;
  }

  /** Starts listening. Until then signals do what they do to any program. */
  listen(): void {
    for (const signal of END_SIGNALS) process.on(signal, () => this.#arrived(signal));
  }

  /** Sends signals to `handler` from now on. Returns what ends that. */
  handle(handler: (signal: EndSignal) => void): () => void {
    this.#handler = handler;
    return () => {
      if (this.#handler === handler) this.#handler = undefined;
    };
  }

  #arrived(signal: EndSignal): void {
    if (this.#handler) {
      this.#handler(signal);
      return;
    }
    if (this.#received) process.exit(signalExitCode(signal));
    this.#received = signal;
    this.#controller.abort(new Error(`interrupted by ${signal}`));
  }
}
