import { SmolVMError } from "../../errors.ts";
import { ChunkQueue } from "../../util/chunk-queue.ts";
import { escapeTerminal } from "../../util/escape-terminal.ts";
import { monotonicMs } from "../../util/monotonic.ts";
import { guestError } from "../session/guest-error.ts";
import type { AgentSession } from "../session/session.ts";
import type { SessionEnd } from "../session/session-end.ts";
import type { AgentStream, GuestChannel, StreamHandler } from "../session/stream.ts";
import type { Command, ProcessExit, RunOptions, RunResult } from "../types.ts";
import type { Result } from "../wire/messages.ts";
import { type ExecRequest, execRequest } from "./exec-request.ts";
import { RunError } from "./run-error.ts";
import { processExit, runResult } from "./run-result.ts";
import { feedStdin } from "./stdin-feed.ts";

/** Default of {@link RunOptions.maxOutputBytes}. */
export const DEFAULT_MAX_OUTPUT_BYTES: number = 16 * 1024 * 1024;

/** Output is consumed as it comes, so a large window costs nothing and saves grants. */
const WINDOW = 1024 * 1024;
/** How long a killed command's result is waited for, in ms. */
const KILL_WAIT_MS = 2000;
const SIGKILL = 9;

/**
 * Runs a command to its end and collects what it prints. A non-zero exit code is a result, not an error.
 *
 * @param command a string for the guest's `/bin/sh -c`, or an array that is executed as it is
 * @throws SmolVMError COMMAND_NOT_FOUND, COMMAND_NOT_EXECUTABLE, ARGUMENTS_TOO_LONG, FILE_NOT_FOUND (cwd), CONFIG_INVALID,
 *   HOST_FAILED when reading `stdin`'s source fails
 * @throws RunError with the output so far: RUN_TIMEOUT and RUN_ABORTED (after the command and all it started were killed),
 *   OUTPUT_LIMIT, RUN_FAILED (only with `check`), OUTCOME_UNKNOWN or AGENT_PROTOCOL when the channel ends meanwhile
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

function shape(options: RunOptions): Parameters<typeof execRequest>[1] {
  const max = options.maxOutputBytes;
  if (max !== undefined && !(max >= 0)) {
    throw new SmolVMError("CONFIG_INVALID", `maxOutputBytes ${max} is not a number of bytes`);
  }
  const { cwd, env, user } = options;
  return { cwd, env, user, stdin: options.stdin !== undefined, window: WINDOW };
}

/** Why a command was killed before its end. */
type Stop =
  | { readonly kind: "timeout" | "limit" }
  | { readonly kind: "abort" | "callback" | "stdin"; readonly cause: unknown };

class Run implements StreamHandler {
  readonly #options: RunOptions;
  readonly #request: ExecRequest;
  readonly #resolve: (result: RunResult) => void;
  readonly #reject: (error: unknown) => void;
  readonly #startedAt = monotonicMs();
  readonly #stdout = new ChunkQueue<undefined>();
  readonly #stderr = new ChunkQueue<undefined>();
  readonly #capture: boolean;
  readonly #maxBytes: number;
  #stream: AgentStream | undefined;
  #seenBytes = 0;
  #stop: Stop | undefined;
  #timer: NodeJS.Timeout | undefined;
  #stopFeeding: () => void = () => {};
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
    this.#capture = options.capture ?? true;
    this.#maxBytes =
      options.maxOutputBytes ?? (this.#capture ? DEFAULT_MAX_OUTPUT_BYTES : Number.POSITIVE_INFINITY);
  }

  start(session: AgentSession): void {
    const { signal, timeoutMs, stdin } = this.#options;
    if (signal?.aborted) {
      this.#stop = { kind: "abort", cause: signal.reason };
      this.#reject(this.#stopError(this.#exit(undefined), "never started"));
      return;
    }
    const { open, what } = this.#request;
    this.#stream = session.open({ open, what, effects: true, opens: true, window: WINDOW }, this);
    signal?.addEventListener("abort", this.#onAbort, { once: true });
    if (timeoutMs !== undefined && Number.isFinite(timeoutMs)) {
      this.#timer = setTimeout(
        () => this.#kill({ kind: "timeout" }),
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
    const room = this.#maxBytes - this.#seenBytes;
    const wanted = piece.length <= room ? piece : piece.subarray(0, Math.max(0, room));
    this.#seenBytes += piece.length;
    if (wanted.length > 0) {
      if (this.#capture) (channel === 1 ? this.#stdout : this.#stderr).push(undefined, wanted);
      this.#call(channel === 1 ? this.#options.onStdout : this.#options.onStderr, wanted);
    }
    if (piece.length > room) this.#kill({ kind: "limit" });
  }

  result(result: Result): void {
    this.#settle();
    if (this.#stop !== undefined) {
      const refused = result.error !== undefined;
      this.#reject(this.#stopError(this.#exit(refused ? undefined : result), "confirmed"));
      return;
    }
    if (result.error !== undefined) {
      this.#reject(guestError(result.error, "exec", this.#request.what));
      return;
    }
    const done = this.#result(this.#exit(result));
    if (this.#options.check === true && !done.ok) this.#reject(this.#failed(done));
    else this.#resolve(done);
  }

  lost(error: SmolVMError, _end: SessionEnd): void {
    this.#settle();
    if (this.#stop !== undefined) {
      this.#reject(this.#stopError(this.#exit(undefined), "unconfirmed"));
      return;
    }
    const { hint, details, cause } = error;
    this.#reject(
      new RunError(error.code, error.message, this.#result(this.#exit(undefined)), { hint, details, cause }),
    );
  }

  // --- stopping

  #call(callback: ((chunk: Uint8Array) => void) | undefined, piece: Buffer): void {
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
    this.#timer = setTimeout(() => {
      this.#stream?.abandon();
      this.#settle();
      this.#reject(this.#stopError(this.#exit(undefined), "unconfirmed"));
    }, KILL_WAIT_MS);
    this.#stopFeeding();
    this.#stream.reset();
  }

  #settle(): void {
    clearTimeout(this.#timer);
    this.#options.signal?.removeEventListener("abort", this.#onAbort);
    this.#stopFeeding();
  }

  // --- results and errors

  #exit(result: Result | undefined): ProcessExit {
    const durationMs = monotonicMs() - this.#startedAt;
    return processExit(result ?? { exitCode: 0, signal: SIGKILL }, durationMs);
  }

  #result(exit: ProcessExit): RunResult {
    return runResult(exit, this.#stdout.join(), this.#stderr.join(), this.#seenBytes > this.#maxBytes);
  }

  #failed(result: RunResult): RunError {
    const how = result.signal === undefined ? `exit code ${result.exitCode}` : `signal ${result.signal}`;
    const said = escapeTerminal(result.stderr.trimEnd().split("\n").at(-1) ?? "", 300);
    const message = `${this.#request.what} failed with ${how}${said === "" ? "" : `: ${said}`}`;
    return new RunError("RUN_FAILED", message, result);
  }

  #stopError(exit: ProcessExit, killed: "confirmed" | "unconfirmed" | "never started"): SmolVMError {
    const stop = this.#stop!;
    const { what } = this.#request;
    const result = this.#result(exit);
    const fate = {
      confirmed: "it and all it started were killed",
      unconfirmed: "the guest did not confirm that it was killed",
      "never started": "it was not started",
    }[killed];
    const details = { killed };
    const cause = "cause" in stop ? stop.cause : undefined;
    switch (stop.kind) {
      case "timeout":
        return new RunError(
          "RUN_TIMEOUT",
          `${what} did not finish within ${this.#options.timeoutMs} ms; ${fate}`,
          result,
          {
            hint: "Raise timeoutMs if the command needs longer.",
            details: { ...details, timeoutMs: this.#options.timeoutMs },
          },
        );
      case "limit":
        return new RunError(
          "OUTPUT_LIMIT",
          `${what} printed more than ${this.#maxBytes} bytes; ${fate}`,
          result,
          {
            hint: "Raise maxOutputBytes, or take the output piece by piece: onStdout with capture: false, or spawn.",
            details: { ...details, maxOutputBytes: this.#maxBytes },
          },
        );
      case "abort":
        return new RunError("RUN_ABORTED", `${what} was aborted; ${fate}`, result, { details, cause });
      case "callback":
        return new RunError(
          "RUN_ABORTED",
          `${what} was aborted because an output callback threw; ${fate}`,
          result,
          {
            details,
            cause,
          },
        );
      case "stdin":
        return new RunError(
          "HOST_FAILED",
          `${what} was aborted because reading its stdin's source failed; ${fate}`,
          result,
          {
            details,
            cause,
          },
        );
    }
  }
}
