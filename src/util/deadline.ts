import { SmolVMError } from "../errors.ts";
import { isAbortSignal, ownSignal } from "./abort-signal.ts";
import { checkNames, requireObject } from "./check-names.ts";
import { monotonicMs } from "./monotonic.ts";
import { shown } from "./shown.ts";

/**
 * Refuses limits that would be none, or end at once, without a word: callers without types get `timeoutMs: "5"` wrong.
 * @throws SmolVMError CONFIG_INVALID
 */
export function checkLimits(limits: { timeoutMs?: unknown; signal?: unknown }): void {
  const { timeoutMs, signal } = requireObject(limits);
  if (timeoutMs !== undefined && !(typeof timeoutMs === "number" && timeoutMs >= 0)) {
    throw new SmolVMError("CONFIG_INVALID", `timeoutMs: ${shown(timeoutMs)} is not a time in milliseconds`, {
      hint: "Give a number, such as 5000, or leave it out.",
      details: { option: "timeoutMs" },
    });
  }
  if (signal !== undefined && !isAbortSignal(signal)) {
    throw new SmolVMError("CONFIG_INVALID", "signal: is not an AbortSignal", {
      hint: "Give the signal of an AbortController, or AbortSignal.timeout(5000).",
      details: { option: "signal" },
    });
  }
}

/** Time as people are told of it: what a step of a call has left of it is no whole number. */
const wholeMs = (ms: number | undefined): number | undefined => (ms === undefined ? ms : Math.round(ms));

/** What limits a call, whichever it is. */
const LIMITS: readonly string[] = ["timeoutMs", "signal"];

/**
 * The options of a call that can be limited, as they were given.
 * @param own those that it has besides `timeoutMs` and `signal`
 * @throws SmolVMError CONFIG_INVALID for others, and as {@link checkLimits}
 */
export function limited<Options extends object>(options: Options, ...own: readonly string[]): Options {
  checkNames(options, [...own, ...LIMITS]);
  checkLimits(options);
  return options;
}

/**
 * One limit for a whole operation: a time and/or the caller's AbortSignal. Made once at the public call
 * and handed to every slow step, so that steps share the time that is left.
 */
export class Deadline {
  /** undefined while nothing limits this and nobody has asked: making one takes longer than most that is done within it */
  #signal: AbortSignal | undefined;
  readonly timeoutMs: number | undefined;
  readonly #startedAt: number;
  readonly #caller: AbortSignal | undefined;
  readonly #what: string;
  readonly #option: string | undefined;

  private constructor(
    what: string,
    option: string | undefined,
    timeoutMs?: number,
    caller?: AbortSignal,
    startedAt = monotonicMs(),
  ) {
    this.#startedAt = startedAt;
    this.#what = what;
    this.#option = option;
    this.timeoutMs = timeoutMs;
    this.#caller = caller;
    const signals: AbortSignal[] = [];
    if (caller) signals.push(ownSignal(caller));
    // AbortSignal.timeout does not keep the process alive and takes at most 2^32-1 ms.
    if (timeoutMs !== undefined && Number.isFinite(timeoutMs)) {
      signals.push(AbortSignal.timeout(Math.min(Math.ceil(this.remainingMs), 2 ** 31 - 1)));
    }
    if (signals.length > 0) this.#signal = signals.length === 1 ? signals[0]! : AbortSignal.any(signals);
  }

  /** aborted when the time is over or the caller aborted */
  get signal(): AbortSignal {
    this.#signal ??= new AbortController().signal;
    return this.#signal;
  }

  /**
   * @param what the operation in the user's words, for the error ("starting sandbox 'box'")
   * @param limits `timeoutMs` in milliseconds (absent: no limit), `signal` the caller's, `option` the name of the option to raise
   * @throws SmolVMError CONFIG_INVALID
   */
  static of(
    what: string,
    limits: { timeoutMs?: number | undefined; signal?: AbortSignal | undefined; option?: string } = {},
  ): Deadline {
    checkLimits(limits);
    return new Deadline(what, limits.option ?? "timeoutMs", limits.timeoutMs, limits.signal);
  }

  /** A limit of our own, which no option raises: for what takes milliseconds and may hang. */
  static within(ms: number, what: string): Deadline {
    return new Deadline(what, undefined, ms);
  }

  /** The same limit, which is over with `gone` as well: for what is begun and may be given up, so that it does not go on for nobody. */
  endedBy(gone: AbortSignal): Deadline {
    const caller = this.#caller ? AbortSignal.any([ownSignal(this.#caller), gone]) : gone;
    return new Deadline(this.#what, this.#option, this.timeoutMs, caller, this.#startedAt);
  }

  /** Milliseconds that are left: Infinity without a limit, 0 when it is over. */
  get remainingMs(): number {
    if (this.timeoutMs === undefined) return Number.POSITIVE_INFINITY;
    return Math.max(0, this.timeoutMs - (monotonicMs() - this.#startedAt));
  }

  get elapsedMs(): number {
    return monotonicMs() - this.#startedAt;
  }

  get expired(): boolean {
    return this.#signal?.aborted === true;
  }

  /** What is left, as the limits of a call further down: the remaining time and the caller's own signal. */
  get limits(): { timeoutMs: number | undefined; signal: AbortSignal | undefined } {
    const { remainingMs } = this;
    return { timeoutMs: Number.isFinite(remainingMs) ? remainingMs : undefined, signal: this.#caller };
  }

  /** The error for a deadline that is over: ABORTED if the caller aborted, else TIMEOUT, naming the option to raise, if there is one. */
  error(): SmolVMError {
    if (this.#caller?.aborted) {
      return new SmolVMError("ABORTED", `${this.#what} was aborted`, { cause: this.#caller.reason });
    }
    return new SmolVMError("TIMEOUT", `${this.#what} did not finish within ${wholeMs(this.timeoutMs)} ms`, {
      hint:
        this.#option === undefined
          ? "Try again when this machine is less busy; if it hangs again, see: smolvm doctor"
          : `Raise ${this.#option} if the host is slow.`,
      details: { timeoutMs: wholeMs(this.timeoutMs) },
    });
  }

  /** Throws {@link error} when the time is over. */
  check(): void {
    if (this.expired) throw this.error();
  }

  /** Settles as `promise` does, or rejects with {@link error} when the time is over first. The promise itself goes on. */
  async race<T>(promise: Promise<T>): Promise<T> {
    if (this.expired) promise.catch(() => {}); // begun for nobody: its failure is not told either
    this.check();
    if (this.#signal === undefined) return promise; // nothing can end it
    let onAbort: (() => void) | undefined;
    const over = new Promise<never>((_, reject) => {
      onAbort = () => reject(this.error());
      this.signal.addEventListener("abort", onAbort, { once: true });
    });
    try {
      return await Promise.race([promise, over]);
    } finally {
      this.signal.removeEventListener("abort", onAbort!);
      promise.catch(() => {}); // its late failure was given up on
    }
  }

  /** Waits `ms` milliseconds, or rejects when the time is over first. */
  async sleep(ms: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    try {
      await this.race(
        new Promise<void>((resolve) => {
          timer = setTimeout(resolve, ms);
        }),
      );
    } finally {
      clearTimeout(timer);
    }
  }
}
