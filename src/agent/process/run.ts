import { isSmolVMError, type SmolVMError } from "../../errors.ts";
import { escapeTerminal } from "../../util/escape-terminal.ts";
import { monotonicMs } from "../../util/monotonic.ts";
import { guestError } from "../session/guest-error.ts";
import type { AgentSession } from "../session/session.ts";
import type { SessionEnd } from "../session/session-end.ts";
import type { AgentStream, GuestChannel, StreamHandler } from "../session/stream.ts";
import type { Command, FailedRun, OutputName, RunOptions, RunResult } from "../types.ts";
import type { Result } from "../wire/messages.ts";
import { CapturedOutput } from "./captured-output.ts";
import { describeCommand, type ExecRequest, execRequest } from "./exec-request.ts";
import { waitForKill } from "./kill-wait.ts";
import { RunError } from "./run-error.ts";
import { type Captured, processExit, runResult, stoppedExit, unknownResult } from "./run-result.ts";
import { feedStdin } from "./stdin-feed.ts";
import { type Fate, fateOf, type Stop, stopError, stoppedBy } from "./stop.ts";

/** Default of {@link RunOptions.maxOutputBytes}. */
const DEFAULT_MAX_OUTPUT_BYTES: number = 16 * 1024 * 1024;

/** Output is consumed as it comes, so a large window costs nothing and saves grants. */
const WINDOW = 1024 * 1024;

/**
 * Runs a command to its end and collects what it prints. A non-zero exit code is a result, not an error.
 *
 * @param command a string for the guest's `/bin/sh -c`, or an array that is executed as it is
 * @throws SmolVMError COMMAND_NOT_FOUND, COMMAND_NOT_EXECUTABLE, ARGUMENTS_TOO_LONG, FILE_NOT_FOUND (cwd), CONFIG_INVALID
 * @throws RunError with the output so far: RUN_TIMEOUT, RUN_ABORTED and OUTPUT_LIMIT (after the command was killed,
 *   `details.killed` says how far; results with `ifStopped: "result"`), HOST_FAILED when reading `stdin`'s source fails, RUN_FAILED (only with `check`),
 *   OUTCOME_UNKNOWN, AGENT_LOST or AGENT_PROTOCOL when the channel ends meanwhile
 */
export function runCommand(
  session: AgentSession,
  command: Command,
  options: RunOptions = {},
): Promise<RunResult> {
  return new Promise((resolve, reject) => {
    new Run(options, execRequest(command, shape(options)), resolve, reject).start(session);
  });
}

/** What kept a command from being asked for: if that was its own signal, it is RUN_ABORTED as it is later. */
export function abortedEarly(error: unknown, command: Command): unknown {
  if (!isSmolVMError(error, "ABORTED")) return error;
  const stop = { kind: "abort", cause: error.cause } as const;
  const { code, message, options } = stopError(
    `running '${describeCommand(command)}'`,
    stop,
    "never started",
  );
  const nothing = { ...new CapturedOutput(0, "stop").take(), truncated: false };
  return new RunError(code, message, unknownResult(0, nothing, "abort"), options);
}

function shape(options: RunOptions): Parameters<typeof execRequest>[1] {
  const { cwd, env, user, limits } = options;
  return { cwd, env, user, limits, stdin: options.stdin !== undefined, window: WINDOW };
}

class Run implements StreamHandler {
  readonly #options: RunOptions;
  readonly #request: ExecRequest;
  readonly #resolve: (result: RunResult) => void;
  readonly #reject: (error: unknown) => void;
  readonly #startedAt = monotonicMs();
  readonly #output: CapturedOutput | undefined;
  readonly #maxBytes: number;
  #session: AgentSession | undefined;
  #stream: AgentStream | undefined;
  #seenBytes = 0;
  #stop: Stop | undefined;
  #timer: NodeJS.Timeout | undefined;
  #stopFeeding: () => void = () => {};
  #stopWaiting: () => void = () => {};
  readonly #onAbort = (): void => this.#kill({ kind: "abort", cause: this.#options.signal?.reason });

  constructor(
    options: RunOptions,
    request: ExecRequest,
    resolve: (result: RunResult) => void,
    reject: (error: unknown) => void,
  ) {
    this.#options = options;
    this.#request = request;
    this.#resolve = resolve;
    this.#reject = reject;
    const { capture = true, overflow = "stop" } = options;
    const limit = options.maxOutputBytes ?? (capture ? DEFAULT_MAX_OUTPUT_BYTES : Number.POSITIVE_INFINITY);
    if (capture) this.#output = new CapturedOutput(limit, overflow);
    this.#maxBytes = overflow === "stop" ? limit : Number.POSITIVE_INFINITY;
  }

  start(session: AgentSession): void {
    const { signal, timeoutMs, stdin } = this.#options;
    if (signal?.aborted) {
      this.#stop = { kind: "abort", cause: signal.reason };
      this.#reject(this.#stopError("never started"));
      return;
    }
    this.#session = session;
    const { open, what } = this.#request;
    this.#stream = session.open({ open, what, effects: true, runs: true, opens: true, window: WINDOW }, this);
    signal?.addEventListener("abort", this.#onAbort, { once: true });
    if (timeoutMs !== undefined && Number.isFinite(timeoutMs)) {
      this.#timer = setTimeout(
        () => this.#kill({ kind: "timeout", timeoutMs }),
        Math.min(Math.max(0, timeoutMs), 2 ** 31 - 1),
      );
    }
    if (stdin !== undefined) {
      this.#stopFeeding = feedStdin(this.#stream, stdin, (cause) => this.#kill({ kind: "stdin", cause }));
    }
  }

  // --- StreamHandler

  data(channel: GuestChannel, piece: Buffer): void {
    this.#stream?.grant(channel, piece.length);
    const stream = channel === 1 ? "stdout" : "stderr";
    const room = this.#maxBytes - this.#seenBytes;
    this.#seenBytes += piece.length;
    this.#output?.add(stream, piece);
    if (room > 0) this.#tell(stream, piece.length <= room ? piece : piece.subarray(0, room));
    if (piece.length > room) this.#kill({ kind: "overflow", maxOutputBytes: this.#maxBytes });
  }

  result(result: Result): void {
    this.#settle();
    if (this.#stop !== undefined) {
      const by = stoppedBy(this.#stop);
      const started = this.#stream?.opened === true;
      const done = runResult(stoppedExit(result, this.#durationMs, by), this.#captured());
      const fate = fateOf(result, started);
      if (fate === "never started") this.#reject(this.#stopError(fate));
      else if (by !== undefined && this.#options.ifStopped === "result") this.#resolve(done);
      else this.#reject(this.#stopError(fate, done));
      return;
    }
    if (result.error !== undefined) {
      this.#reject(guestError(result.error, "exec", this.#request.what));
      return;
    }
    const done = runResult(processExit(result, this.#durationMs), this.#captured());
    if (this.#options.check === true && !done.ok) this.#reject(this.#failed(done));
    else this.#resolve(done);
  }

  lost(error: SmolVMError, _end: SessionEnd): void {
    this.#settle();
    if (this.#stop !== undefined) {
      this.#reject(this.#stopError("unconfirmed"));
      return;
    }
    const { code, message, hint, details, cause } = error;
    this.#reject(new RunError(code, message, this.#unknown(), { hint, details, cause }));
  }

  // --- stopping

  #tell(stream: OutputName, piece: Buffer): void {
    const { onStdout, onStderr } = this.#options;
    const callback = stream === "stdout" ? onStdout : onStderr;
    if (callback === undefined || this.#stop !== undefined) return;
    try {
      callback(piece);
    } catch (cause) {
      this.#kill({ kind: "callback", cause });
    }
  }

  #kill(stop: Stop): void {
    if (this.#stop !== undefined || this.#stream === undefined || this.#stream.over) return;
    this.#stop = stop;
    clearTimeout(this.#timer);
    this.#stopFeeding();
    this.#stream.reset();
    this.#stopWaiting = waitForKill(this.#session!, () => {
      this.#stream?.abandon();
      this.#settle();
      this.#reject(this.#stopError("unconfirmed"));
    });
  }

  #settle(): void {
    clearTimeout(this.#timer);
    this.#stopWaiting();
    this.#options.signal?.removeEventListener("abort", this.#onAbort);
    this.#stopFeeding();
  }

  // --- results and errors

  get #durationMs(): number {
    return monotonicMs() - this.#startedAt;
  }

  #captured(): Captured {
    const output = this.#output ?? new CapturedOutput(0, "stop");
    return { ...output.take(), truncated: output.truncated };
  }

  #unknown(): FailedRun {
    return unknownResult(this.#durationMs, this.#captured(), stoppedBy(this.#stop));
  }

  #failed(result: RunResult): RunError {
    const how = result.signal === undefined ? `exit code ${result.exitCode}` : `signal ${result.signal}`;
    const said = escapeTerminal(result.stderr.trimEnd().split("\n").at(-1) ?? "", 300);
    const message = `${this.#request.what} failed with ${how}${said === "" ? "" : `: ${said}`}`;
    return new RunError("RUN_FAILED", message, result);
  }

  #stopError(fate: Fate, result: FailedRun = this.#unknown()): RunError {
    const { code, message, options } = stopError(this.#request.what, this.#stop!, fate);
    return new RunError(code, message, result, options);
  }
}
