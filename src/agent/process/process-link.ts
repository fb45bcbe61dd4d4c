import { SmolVMError } from "../../errors.ts";
import { ChunkQueue } from "../../util/chunk-queue.ts";
import { monotonicMs } from "../../util/monotonic.ts";
import { guestError } from "../session/guest-error.ts";
import type { AgentSession } from "../session/session.ts";
import type { AgentStream, GuestChannel, StreamHandler } from "../session/stream.ts";
import type { OutputChunk, ProcessNumbers, SpawnExit, SpawnOptions } from "../types.ts";
import type { Opened, Result } from "../wire/messages.ts";
import { processExit } from "./run-result.ts";

/** Output that may be pending unread, in bytes of stdout and of stderr. */
export const PROCESS_WINDOW: number = 256 * 1024;
/** How long a killed process's result is waited for, in ms. */
const KILL_WAIT_MS = 2000;

/** A request for a process's stream. */
export interface ProcessRequest {
  readonly open: Buffer;
  /** in the user's words, e.g. "running 'make'" */
  readonly what: string;
  /** "exec" starts a process, and resetting it kills; "attach" finds one, and resetting it detaches */
  readonly kind: "exec" | "attach";
  readonly options: Pick<SpawnOptions, "timeoutMs" | "signal" | "output">;
}

interface Settle<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
}

/** A process's stream: its output as a queue with backpressure, its start and its end as promises. */
export class ProcessLink implements StreamHandler {
  /** the process runs */
  readonly started: Promise<ProcessNumbers>;
  /** the process has ended */
  readonly exit: Promise<SpawnExit>;
  /** the request was sent, and this is its stream; undefined if it never will be */
  readonly opening: Promise<AgentStream | undefined>;
  #stream: AgentStream | undefined;
  #request: ProcessRequest | undefined;
  #startedAt = monotonicMs();
  readonly #queue = new ChunkQueue<"stdout" | "stderr">();
  readonly #waiting: Settle<OutputChunk | undefined>[] = [];
  /** loops that are reading */
  #readers = 0;
  #endAwaited = false;
  /** queued bytes whose credit was not given back yet */
  readonly #owed = { stdout: 0, stderr: 0 };
  /** bytes that were thrown away because the end was awaited and nobody read */
  #dropped = 0;
  #over = false;
  #error: unknown;
  /** why the process was killed, or the attachment given up, by this side */
  #stop: SmolVMError | undefined;
  #timer: NodeJS.Timeout | undefined;
  #onStarted!: Settle<ProcessNumbers>;
  #onExit!: Settle<SpawnExit>;
  readonly #onLimit = (): void => this.stop(this.#limitError());

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
    this.#startedAt = monotonicMs();
    const { open, what, kind } = request;
    const { timeoutMs, signal } = request.options;
    if (signal?.aborted) throw this.#limitError();
    this.#stream = session.open(
      { open, what, effects: kind === "exec", opens: true, window: PROCESS_WINDOW },
      this,
    );
    signal?.addEventListener("abort", this.#onLimit, { once: true });
    if (timeoutMs !== undefined && Number.isFinite(timeoutMs)) {
      this.#timer = setTimeout(this.#onLimit, Math.min(Math.max(0, timeoutMs), 2 ** 31 - 1));
    }
    return this.#stream;
  }

  /** The next piece of output; undefined after the last. Rejects when the process's stream failed. */
  next(): Promise<OutputChunk | undefined> {
    const chunk = this.#queue.shift();
    if (chunk !== undefined) {
      this.#giveBack(chunk.tag, chunk.data.length);
      return Promise.resolve({ stream: chunk.tag, data: chunk.data });
    }
    if (this.#error !== undefined) return Promise.reject(this.#error);
    if (this.#over) return Promise.resolve(undefined);
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  /** A loop begins to read, or stops to. */
  reading(change: 1 | -1): void {
    this.#readers += change;
    this.#release();
  }

  /** Somebody waits for the end, which must not depend on output that nobody reads. */
  awaitEnd(): void {
    this.#endAwaited = true;
    this.#release();
  }

  get #unread(): boolean {
    return this.#endAwaited && this.#readers === 0;
  }

  /** What is queued stays for a later reader; its credit lets the process go on. */
  #release(): void {
    if (!this.#unread) return;
    this.#giveBack("stdout", this.#owed.stdout);
    this.#giveBack("stderr", this.#owed.stderr);
  }

  #giveBack(from: "stdout" | "stderr", bytes: number): void {
    const owed = Math.min(bytes, this.#owed[from]);
    this.#owed[from] -= owed;
    this.#stream?.grant(from === "stdout" ? 1 : 2, owed);
  }

  /**
   * Kills the process and all it started, or detaches from it. Its promises reject with `error` when the guest has confirmed
   * that, or after two seconds.
   */
  stop(error: SmolVMError): void {
    if (this.#over || this.#stop !== undefined) return;
    this.#stop = error;
    clearTimeout(this.#timer);
    const stream = this.#stream;
    if (stream === undefined) {
      this.#fail(error);
      return;
    }
    this.#timer = setTimeout(() => {
      stream.abandon();
      this.#fail(error);
    }, KILL_WAIT_MS);
    stream.reset();
  }

  // --- StreamHandler

  opened(opened: Opened): void {
    this.#onStarted.resolve({ id: opened.process, pid: opened.pid });
  }

  data(channel: GuestChannel, piece: Buffer): void {
    if (this.#request?.options.output === "ignore") {
      this.#stream?.grant(channel, piece.length);
      return;
    }
    const stream = channel === 1 ? "stdout" : "stderr";
    const reader = this.#waiting.shift();
    if (reader !== undefined) {
      this.#stream?.grant(channel, piece.length);
      reader.resolve({ stream, data: piece });
    } else if (this.#unread && this.#queue.bytes + piece.length > PROCESS_WINDOW) {
      this.#dropped += piece.length;
      this.#stream?.grant(channel, piece.length);
    } else {
      this.#queue.push(stream, piece);
      this.#owed[stream] += piece.length;
      this.#release();
    }
  }

  result(result: Result): void {
    const failure = this.#stop ?? this.#refusal(result);
    if (failure !== undefined) {
      this.#fail(failure);
      return;
    }
    this.#settle();
    this.#onStarted.resolve({ id: result.process, pid: result.pid }); // detached; else it has started long ago
    const durationMs = monotonicMs() - this.#startedAt;
    this.#onExit.resolve({ ...processExit(result, durationMs), dropped: result.dropped + this.#dropped });
    for (const reader of this.#waiting.splice(0)) reader.resolve(undefined);
  }

  lost(error: SmolVMError): void {
    this.#fail(this.#stop ?? error);
  }

  // --- the end

  #refusal(result: Result): SmolVMError | undefined {
    if (result.error === undefined || this.#request === undefined) return undefined;
    return guestError(result.error, this.#request.kind === "exec" ? "exec" : "process", this.#request.what);
  }

  #fail(error: unknown): void {
    if (this.#over) return;
    this.#settle();
    this.#error = error;
    this.#onStarted.reject(error);
    this.#onExit.reject(error);
    for (const reader of this.#waiting.splice(0)) reader.reject(error);
  }

  #settle(): void {
    this.#over = true;
    clearTimeout(this.#timer);
    this.#request?.options.signal?.removeEventListener("abort", this.#onLimit);
  }

  #limitError(): SmolVMError {
    const { what, kind, options } = this.#request!;
    const fate = kind === "exec" ? "; it and all it started were killed" : "; the process itself goes on";
    if (options.signal?.aborted) {
      return new SmolVMError("RUN_ABORTED", `${what} was aborted${fate}`, { cause: options.signal.reason });
    }
    return new SmolVMError("RUN_TIMEOUT", `${what} did not finish within ${options.timeoutMs} ms${fate}`, {
      hint: "Raise timeoutMs if it needs longer.",
      details: { timeoutMs: options.timeoutMs },
    });
  }
}
