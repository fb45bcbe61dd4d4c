import { SmolVMError } from "../../errors.ts";
import { monotonicMs } from "../../util/monotonic.ts";
import { guestError } from "../session/guest-error.ts";
import type { AgentSession } from "../session/session.ts";
import type { AgentStream, GuestChannel, StreamHandler } from "../session/stream.ts";
import type { ProcessExit, ProcessNumbers, SpawnExit, SpawnOptions } from "../types.ts";
import type { Opened, Result } from "../wire/messages.ts";
import { waitForKill } from "./kill-wait.ts";
import { PROCESS_WINDOW, ProcessOutput } from "./process-output.ts";
import { processExit, stoppedExit } from "./run-result.ts";
import { type Fate, fateOf, type Stop, stopError, stoppedBy } from "./stop.ts";

/** A request for a process's stream. */
export interface ProcessRequest {
  readonly open: Buffer;
  /** in the user's words, e.g. "running 'make'" */
  readonly what: string;
  /** "exec" starts a process, and resetting it kills; "attach" finds one, and resetting it detaches */
  readonly kind: "exec" | "attach";
  readonly options: Pick<SpawnOptions, "timeoutMs" | "signal" | "ifStopped" | "stdout" | "stderr">;
}

interface Settle<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
}

/** A process's stream: its output, its start and its end as promises. */
export class ProcessLink implements StreamHandler {
  /** the process runs */
  readonly started: Promise<ProcessNumbers>;
  /** the process has ended */
  readonly exit: Promise<SpawnExit>;
  /** the request was sent, and this is its stream; undefined if it never will be */
  readonly opening: Promise<AgentStream | undefined>;
  readonly output: ProcessOutput = new ProcessOutput((stream, bytes) =>
    this.#stream?.grant(stream === "stdout" ? 1 : 2, bytes),
  );
  #session: AgentSession | undefined;
  #stream: AgentStream | undefined;
  #request: ProcessRequest | undefined;
  #startedAt = monotonicMs();
  #over = false;
  /** why the process was killed, or the attachment given up, by this side */
  #stop: Stop | undefined;
  #timer: NodeJS.Timeout | undefined;
  #stopWaiting: () => void = () => {};
  #onStarted!: Settle<ProcessNumbers>;
  #onExit!: Settle<SpawnExit>;
  readonly #onAbort = (): void => this.stop({ kind: "abort", cause: this.#request?.options.signal?.reason });

  /** @param source the session and the request, when they are known; its rejection is how the process fails */
  constructor(source: Promise<{ session: AgentSession; request: ProcessRequest }>) {
    this.started = new Promise((resolve, reject) => {
      this.#onStarted = { resolve, reject };
    });
    this.exit = new Promise((resolve, reject) => {
      this.#onExit = { resolve, reject };
    });
    // Nobody has to look at them: a rejection is then not an unhandled one.
    this.started.catch(() => {});
    this.exit.catch(() => {});
    this.opening = source
      .then(({ session, request }) => this.#open(session, request))
      .catch((error: unknown) => {
        this.#fail(error);
        return undefined;
      });
  }

  get over(): boolean {
    return this.#over;
  }

  /** The stream, once it is open. */
  get stream(): AgentStream | undefined {
    return this.#stream;
  }

  #open(session: AgentSession, request: ProcessRequest): AgentStream | undefined {
    if (this.#over) return undefined;
    this.#request = request;
    this.#session = session;
    this.#startedAt = monotonicMs();
    const { open, what, kind } = request;
    const { timeoutMs, signal } = request.options;
    if (signal?.aborted) throw this.#stopError({ kind: "abort", cause: signal.reason }, "never started");
    const runs = kind === "exec";
    this.#stream = session.open(
      { open, what, effects: runs, runs, opens: true, window: PROCESS_WINDOW },
      this,
    );
    signal?.addEventListener("abort", this.#onAbort, { once: true });
    if (timeoutMs !== undefined && Number.isFinite(timeoutMs)) {
      const onTime = (): void => this.stop({ kind: "timeout", timeoutMs });
      this.#timer = setTimeout(onTime, Math.min(Math.max(0, timeoutMs), 2 ** 31 - 1));
    }
    return this.#stream;
  }

  /** Somebody waits for the end, which must not depend on output that nobody reads. */
  awaitEnd(): void {
    this.output.awaitEnd();
  }

  /** Kills the process and all it started, or detaches from it. It is over when the guest has said what became of it, or has not in time. */
  stop(stop: Stop): void {
    if (this.#over || this.#stop !== undefined) return;
    this.#stop = stop;
    clearTimeout(this.#timer);
    const stream = this.#stream;
    if (stream === undefined) {
      this.#fail(this.#stopError(stop, "never started"));
      return;
    }
    stream.reset();
    this.#stopWaiting = waitForKill(this.#session!, () => {
      stream.abandon();
      this.#fail(this.#stopError(stop, "unconfirmed"));
    });
  }

  // --- StreamHandler

  opened(opened: Opened): void {
    this.#onStarted.resolve({ id: opened.process, pid: opened.pid });
  }

  data(channel: GuestChannel, piece: Buffer): void {
    const stream = channel === 1 ? "stdout" : "stderr";
    if (this.#request?.options[stream] === "ignore") this.#stream?.grant(channel, piece.length);
    else this.output.push(stream, piece);
  }

  result(result: Result): void {
    const { kind, what, options } = this.#request!;
    const durationMs = monotonicMs() - this.#startedAt;
    if (this.#stop !== undefined) {
      const by = stoppedBy(this.#stop);
      const started = this.#stream?.opened === true;
      if (kind === "exec" && started && by !== undefined && options.ifStopped === "result") {
        this.#end(stoppedExit(result, durationMs, by), result.dropped);
      } else this.#fail(this.#stopError(this.#stop, fateOf(result, started)));
      return;
    }
    if (result.error !== undefined) {
      this.#fail(guestError(result.error, kind === "exec" ? "exec" : "process", what));
      return;
    }
    this.#onStarted.resolve({ id: result.process, pid: result.pid }); // detached; else it has started long ago
    this.#end(processExit(result, durationMs), result.dropped);
  }

  lost(error: SmolVMError): void {
    this.#fail(this.#stop === undefined ? error : this.#stopError(this.#stop, "unconfirmed"));
  }

  // --- the end

  #end(exit: ProcessExit, dropped: number): void {
    this.#settle();
    this.#onExit.resolve({ ...exit, dropped: dropped + this.output.dropped });
    this.output.end();
  }

  #fail(error: unknown): void {
    if (this.#over) return;
    this.#settle();
    this.#onStarted.reject(error);
    this.#onExit.reject(error);
    this.output.end(error);
  }

  #settle(): void {
    this.#over = true;
    clearTimeout(this.#timer);
    this.#stopWaiting();
    this.#request?.options.signal?.removeEventListener("abort", this.#onAbort);
  }

  #stopError(stop: Stop, fate: Fate): SmolVMError {
    const { kind, what } = this.#request ?? { kind: "exec", what: "the process" };
    const { code, message, options } = stopError(what, stop, kind === "attach" ? "detached" : fate);
    return new SmolVMError(code, message, options);
  }
}
