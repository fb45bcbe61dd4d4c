import type { Readable, Writable } from "node:stream";

/** What limits a slow operation. */
export interface Limits {
  /** limit in milliseconds; default none */
  timeoutMs?: number | undefined;
  /** the caller's signal to give up */
  signal?: AbortSignal | undefined;
}

/** A program with its arguments, executed as they are, or a line for the guest's `/bin/sh -c`. */
export type Command = string | readonly string[];

/** What feeds a command's standard input. A Readable or iterable is read no faster than the command reads. */
export type StdinSource = string | Uint8Array | Readable | AsyncIterable<Uint8Array | string>;

/** Where and as whom a command runs. */
export interface ExecOptions extends Limits {
  /** absolute directory in the guest; default the user's home */
  cwd?: string | undefined;
  /** variables added to PATH, HOME, USER, LOGNAME, LANG (and TERM with a pty), or replacing them */
  env?: Readonly<Record<string, string | undefined>> | undefined;
  /** "name", "uid", "name:group" or "uid:gid"; default root */
  user?: string | undefined;
  /** beyond it the command and everything it started are killed; in milliseconds, default none */
  timeoutMs?: number | undefined;
  /** aborting kills the command and everything it started */
  signal?: AbortSignal | undefined;
}

/** Options of `run`. */
export interface RunOptions extends ExecOptions {
  /** default: no input (/dev/null) */
  stdin?: StdinSource | undefined;
  /** called with each piece of output as it comes; if it throws, the command is killed and `run` rejects with RUN_ABORTED, cause what was thrown */
  onStdout?: ((chunk: Uint8Array) => void) | undefined;
  /** as `onStdout` */
  onStderr?: ((chunk: Uint8Array) => void) | undefined;
  /** most bytes of stdout and stderr together; beyond, the command is killed and OUTPUT_LIMIT thrown. Default 16 MiB (with `capture: false`: no limit) */
  maxOutputBytes?: number | undefined;
  /** false: the result holds no output, which goes to `onStdout` and `onStderr` only. Default true */
  capture?: boolean | undefined;
  /** throw RUN_FAILED unless the exit code is 0. Default false */
  check?: boolean | undefined;
}

/** How a process ended. */
export interface ProcessExit {
  /** the exit code; by a shell's convention 128 + n if signal n ended it */
  readonly exitCode: number;
  /** the signal's name, e.g. "SIGKILL", or undefined if it exited by itself */
  readonly signal: string | undefined;
  /** milliseconds from request to result, seen from the host */
  readonly durationMs: number;
}

/** What a command printed and how it ended. */
export interface RunResult extends ProcessExit {
  /** decoded as UTF-8; invalid bytes become U+FFFD, and are intact in `stdoutBytes` */
  readonly stdout: string;
  readonly stderr: string;
  readonly stdoutBytes: Uint8Array;
  readonly stderrBytes: Uint8Array;
  /** the exit code is 0 */
  readonly ok: boolean;
  /** output is missing: the limit was reached (only in an error's `result`) */
  readonly truncated: boolean;
}

/** A terminal's size in characters. */
export interface PtySize {
  cols: number;
  rows: number;
}

/** Options of `spawn`. */
export interface SpawnOptions extends ExecOptions {
  /** "ignore": /dev/null. Default "pipe". With a pty always "pipe" */
  stdin?: "pipe" | "ignore" | undefined;
  /** "ignore": output is read and dropped, so that the process never waits for a reader. Default "pipe" */
  output?: "pipe" | "ignore" | undefined;
  /** run it in a terminal of this size; stdout carries what it shows, and there is no stderr */
  pty?: PtySize | undefined;
  /** it survives this session; its last 256 KiB of output are kept until somebody attaches */
  detached?: boolean | undefined;
}

/** One piece of a process's output. */
export interface OutputChunk {
  readonly stream: "stdout" | "stderr";
  readonly data: Uint8Array;
}

/** How a spawned process ended. */
export interface SpawnExit extends ProcessExit {
  /** bytes of output that were thrown away because nobody read them in time */
  readonly dropped: number;
}

/** How the agent and the guest's kernel number a process. */
export interface ProcessNumbers {
  /** the agent's number for it, for `processes.attach` and `processes.kill` */
  readonly id: number;
  /** its process id in the guest */
  readonly pid: number;
}

/**
 * A process in the guest: a promise of its end, and an async iterable of its output in the order it came:
 *
 *     const process = vm.spawn("make");
 *     for await (const { stream, data } of process) ...
 *     const { exitCode } = await process;
 *
 * Output that nobody reads makes the process wait once 256 KiB are pending (as with any pipe), and holds back nothing else.
 * When its end is awaited and no loop is reading, it does not wait: what is beyond 256 KiB is then thrown away and counted in
 * `dropped`. Leaving a loop early neither kills the process nor loses output: a later loop goes on where that one stopped.
 * Being a promise, a process that an async function returns is awaited to its end.
 */
export interface GuestProcess extends PromiseLike<SpawnExit>, AsyncIterable<OutputChunk>, AsyncDisposable {
  /** undefined until it has started */
  readonly id: number | undefined;
  /** undefined until it has started */
  readonly pid: number | undefined;
  /** resolves when it runs; rejects if it could not be started. A rejection that nobody awaits is not reported */
  readonly started: Promise<ProcessNumbers>;
  /** its standard input; ends the input when ended, and is destroyed when the process has ended. Writing to a process that no longer reads is no error */
  readonly stdin: Writable;
  /**
   * What awaiting the process gives: its end. Rejects
   * with what kept it from starting, RUN_TIMEOUT or RUN_ABORTED by the limits of `spawn`, AGENT_LOST or OUTCOME_UNKNOWN when
   * the channel ends. A rejection that nobody awaits is not reported.
   */
  readonly result: Promise<SpawnExit>;
  catch<B = never>(onError?: ((error: unknown) => B | PromiseLike<B>) | null): Promise<SpawnExit | B>;
  /** Sends a signal to its process group, once it has started. Default "SIGTERM". Does nothing when it has ended. @throws SmolVMError CONFIG_INVALID */
  kill(signal?: NodeJS.Signals | number): Promise<void>;
  /** Changes the terminal's size. @throws SmolVMError CONFIG_INVALID without a pty */
  resize(size: PtySize): Promise<void>;
}

/** One process of the sandbox that the agent started. */
export interface ProcessInfo {
  readonly id: number;
  readonly pid: number;
  /** its arguments, control characters escaped */
  readonly argv: readonly string[];
  readonly running: boolean;
  /** as in {@link ProcessExit}, once it has ended */
  readonly exitCode: number | undefined;
  readonly signal: string | undefined;
  readonly detached: boolean;
  readonly pty: boolean;
  readonly startedAt: Date;
  readonly user: string;
}
