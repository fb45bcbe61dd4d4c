import type { Readable, Writable } from "node:stream";
import type { CommandLimits } from "../config/spec.ts";

/** What limits a slow operation. */
export interface Limits {
  /** limit in milliseconds; default none */
  timeoutMs?: number | undefined;
  /** the caller's signal to give up */
  signal?: AbortSignal | undefined;
}

/** A program with its arguments, executed as they are, or a line for the guest's `/bin/sh -c`. */
export type Command = string | readonly string[];

/** Bytes, in any of JavaScript's forms and of whichever realm (jest's environments and `vm` contexts have classes of their own). */
export type Bytes = ArrayBufferView | ArrayBuffer;

/** What feeds a command's standard input. A Readable or iterable is read no faster than the command reads. */
export type StdinSource = string | Bytes | Readable | AsyncIterable<Bytes | string>;

/** Where and as whom a command runs. */
export interface ExecOptions extends Limits {
  /** absolute directory in the guest; default the user's home */
  cwd?: string | undefined;
  /** variables added to PATH, HOME, USER, LOGNAME, LANG (and TERM with a pty), or replacing them */
  env?: Readonly<Record<string, string | undefined>> | undefined;
  /** "name", "uid", "name:group" or "uid:gid"; default root */
  user?: string | undefined;
  /** what the command and all it started may take of the sandbox, instead of what each may take (`limits` of the sandbox); more memory than all commands may take it does not get */
  limits?: CommandLimits | undefined;
  /** beyond it the command and everything it started are killed; in milliseconds, default none */
  timeoutMs?: number | undefined;
  /** aborting kills the command and everything it started */
  signal?: AbortSignal | undefined;
  /**
   * What becomes of a command that `timeoutMs`, `signal` or `maxOutputBytes` ended: "throw" (default), or "result": what it printed and
   * how it ended, with `stoppedBy`. One that had not started yet, or of which the guest does not confirm that it was killed, has no
   * end to tell and throws in any case
   */
  ifStopped?: "throw" | "result" | undefined;
}

/** Which limit ended a command before its own end: `timeoutMs`, `signal` or `maxOutputBytes`. */
export type StoppedBy = "timeout" | "abort" | "overflow";

/** What becomes of output beyond `maxOutputBytes`. */
export type Overflow = "stop" | "keepFirst" | "keepLast";

/** Options of `run`. */
export interface RunOptions extends ExecOptions {
  /** default: no input (/dev/null) */
  stdin?: StdinSource | undefined;
  /** called with each piece of output as it comes; if it throws, the command is killed and `run` rejects with RUN_ABORTED, cause what was thrown */
  onStdout?: ((chunk: Uint8Array) => void) | undefined;
  /** as `onStdout` */
  onStderr?: ((chunk: Uint8Array) => void) | undefined;
  /** most bytes of stdout and stderr together; what happens beyond says `overflow`. Default 16 MiB (with `capture: false`: no limit) */
  maxOutputBytes?: number | undefined;
  /**
   * "stop" (default): beyond `maxOutputBytes` the command is killed, OUTPUT_LIMIT; "keepFirst", "keepLast": it goes on, and the result
   * holds the first or last `maxOutputBytes` that it printed (`truncated` says that it was more). `onStdout` and `onStderr` get everything then
   */
  overflow?: Overflow | undefined;
  /** false: the result holds no output, which goes to `onStdout` and `onStderr` only. Default true */
  capture?: boolean | undefined;
  /** throw RUN_FAILED if the command ends with another exit code than 0. Default false */
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
  /** what ended it, if not it itself; only with `ifStopped: "result"`, and in an error's `result` */
  readonly stoppedBy: StoppedBy | undefined;
}

/** What a command printed. */
export interface RunOutput {
  /** decoded as UTF-8; invalid bytes become U+FFFD, and are intact in `stdoutBytes` */
  readonly stdout: string;
  readonly stderr: string;
  /**
   * both as one text, in the order in which the guest's agent read them: two pipes, so what was written to both at almost the same moment may
   * have changed places. For the exact order have one pipe: `2>&1` in the command
   */
  readonly output: string;
  readonly stdoutBytes: Uint8Array;
  readonly stderrBytes: Uint8Array;
  /** it printed more than `maxOutputBytes`, and some is missing */
  readonly truncated: boolean;
}

/** What a command printed and how it ended. */
export interface RunResult extends ProcessExit, RunOutput {
  /** it ended by itself with exit code 0 */
  readonly ok: boolean;
}

/** What is known of a command of which a {@link RunError} tells. */
export interface FailedRun extends RunOutput {
  /** as in {@link ProcessExit}; undefined if its end is not known, or it never started */
  readonly exitCode: number | undefined;
  readonly signal: string | undefined;
  readonly durationMs: number;
  readonly stoppedBy: StoppedBy | undefined;
  readonly ok: boolean;
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
  /** "ignore": it is read and dropped, so that the process never waits for a reader. Default "pipe" */
  stdout?: "pipe" | "ignore" | undefined;
  /** as `stdout` */
  stderr?: "pipe" | "ignore" | undefined;
  /** run it in a terminal of this size; stdout carries what it shows, and there is no stderr */
  pty?: PtySize | undefined;
  /** it survives this session; its last 256 KiB of output are kept until somebody attaches */
  detached?: boolean | undefined;
}

/** A process's streams of output. */
export type OutputName = "stdout" | "stderr";

/** One piece of a process's output. */
export interface OutputChunk {
  readonly stream: OutputName;
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

/** Options of `processes.attach`. */
export interface AttachOptions extends Limits {
  /** as in {@link SpawnOptions} */
  stdout?: "pipe" | "ignore" | undefined;
  stderr?: "pipe" | "ignore" | undefined;
}

/** Options of {@link GuestProcess.kill}. */
export interface KillOptions extends Limits {
  /** everything it started, whatever group that is in, rather than its process group alone. Default false */
  tree?: boolean | undefined;
}

/**
 * A process in the guest:
 *
 *     const process = vm.spawn("make");
 *     for await (const chunk of process.stdout.setEncoding("utf8")) ... // one stream, bytes or text
 *     for await (const { stream, data } of process) ... // or both, in the order they came
 *     const { exitCode } = await process.wait();
 *
 * Output that nobody reads makes the process wait once 256 KiB of a stream are pending (as with any pipe), and holds back nothing else.
 * Who reads one stream alone starts the process with the other one on "ignore", or calls `wait`: then a stream that nobody
 * reads is no longer waited for, and what is beyond 256 KiB of it is thrown away and counted in `dropped`. Each piece of output is given
 * once, to whoever reads first. It is no promise itself: an async function can return it, and nobody waits for it by accident.
 */
export interface GuestProcess extends AsyncIterable<OutputChunk>, AsyncDisposable {
  /** undefined until it has started */
  readonly id: number | undefined;
  /** undefined until it has started */
  readonly pid: number | undefined;
  /** resolves when it runs; rejects if it could not be started. A rejection that nobody awaits is not reported */
  readonly started: Promise<ProcessNumbers>;
  /**
   * its standard input: ends the input when ended, and is destroyed when the process has ended. Writing to a process that no longer reads
   * is no error. Destroying it with an error (as `pipeline` does when its source fails) kills the process and all it started, HOST_FAILED: input
   * that failed is not taken for input that has ended
   */
  readonly stdin: Writable;
  /** its standard output, read no faster than it is taken; text after `setEncoding("utf8")`, a web stream by `Readable.toWeb`. With a pty what the terminal shows */
  readonly stdout: Readable;
  /** as `stdout`; empty with a pty */
  readonly stderr: Readable;
  /**
   * Both streams in the order they came, without text being decoded. Leaving a loop early neither kills the process nor loses output: a later
   * loop goes on where that one stopped.
   */
  [Symbol.asyncIterator](): AsyncIterator<OutputChunk, undefined>;
  /**
   * How it ended, when it has. Rejects with what kept it from starting, RUN_TIMEOUT or RUN_ABORTED by the limits of `spawn` (a result with
   * `ifStopped: "result"`), HOST_FAILED if its stdin failed, AGENT_LOST or OUTCOME_UNKNOWN when the channel ends. A rejection that nobody awaits is
   * not reported.
   */
  wait(): Promise<SpawnExit>;
  /**
   * Sends a signal to its process group, once it has started. Default "SIGTERM".
   * @returns whether there was something to send it to: false if it has ended, or never started
   * @throws SmolVMError CONFIG_INVALID, TIMEOUT, ABORTED, OUTCOME_UNKNOWN
   */
  kill(signal?: NodeJS.Signals | number, options?: KillOptions): Promise<boolean>;
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
  /**
   * how many processes there are of it now, threads included: also once it has ended, where it has left some in the background (end them with
   * `processes.kill(id, "SIGKILL", { tree: true })`). Undefined while it runs in a guest whose kernel has no cgroups
   */
  readonly processes: number | undefined;
}
