import { type ChildProcess, spawn } from "node:child_process";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type ErrorCode, SmolVMError } from "../../errors.ts";
import { contentOf } from "../../util/bytes.ts";
import type { Deadline } from "../../util/deadline.ts";
import { monotonicMs } from "../../util/monotonic.ts";

export interface RunProgramOptions {
  /** when it is over, the program and its process group get TERM, then KILL */
  readonly deadline: Deadline;
  /** the whole environment of the program; default this process's */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  /** default: nothing (/dev/null) */
  readonly stdin?: string | Uint8Array | AsyncIterable<Uint8Array>;
  /** most bytes to keep of each captured stream; beyond it the program is killed; default 16 MiB */
  readonly maxOutputBytes?: number;
  /** receives stdout instead of it being captured; a promise it returns holds the program back */
  readonly onStdout?: (chunk: Uint8Array) => void | Promise<void>;
  /** receives stderr as it comes; its tail is kept for the error all the same */
  readonly onStderr?: (chunk: Uint8Array) => void | Promise<void>;
  /** false: an exit code other than 0 is a result, not an error; default true */
  readonly check?: boolean;
  /** code of the error for a failed program; default HOST_FAILED */
  readonly errorCode?: ErrorCode;
  /** what to do when the program is not installed */
  readonly installHint?: string | undefined;
}

/** How a program that was waited for ended. */
export interface ProgramResult {
  /** what was captured, as UTF-8 */
  readonly stdout: string;
  readonly stdoutBytes: Uint8Array;
  readonly stderr: string;
  /** undefined if a signal ended it */
  readonly code: number | undefined;
  readonly signal: string | undefined;
  readonly durationMs: number;
}

const DEFAULT_MAX_OUTPUT_BYTES = 16 * 1024 * 1024;
/** time between TERM and KILL */
const TERM_GRACE_MS = 2_000;
/** time that output may still arrive after the program itself ended, when its deadline is over */
const DRAIN_MS = 100;

/**
 * Runs a program to its end and returns what it printed. Argv only, never a shell; the program leads a process
 * group of its own, which is killed as a whole at the deadline and when this process exits.
 * @throws SmolVMError DEPENDENCY_MISSING (no such program), TIMEOUT, ABORTED, HOST_FAILED or `errorCode` (it failed)
 */
export async function runProgram(
  argv: readonly string[],
  options: RunProgramOptions,
): Promise<ProgramResult> {
  const { deadline } = options;
  deadline.check();
  const limit = options.maxOutputBytes ?? DEFAULT_MAX_OUTPUT_BYTES;
  const startedAt = monotonicMs();
  const child = await spawnGroup(argv, options);
  const ended = new Promise<{ code: number | undefined; signal: string | undefined }>((resolve) => {
    child.once("exit", (code, signal) => resolve({ code: code ?? undefined, signal: signal ?? undefined }));
  });

  const stdout = new Capture(limit);
  const stderr = new Capture(limit);
  let failure: unknown;
  const stop = (reason: unknown): void => {
    failure ??= reason;
    void killGroup(child, ended);
  };
  const onAbort = (): void => stop(deadline.error());
  deadline.signal.addEventListener("abort", onAbort, { once: true });
  if (deadline.expired) onAbort(); // while it was being spawned
  const consume = async (stream: Readable, take: (chunk: Uint8Array) => void | Promise<void>) => {
    try {
      for await (const chunk of stream as AsyncIterable<Uint8Array>) await take(chunk);
    } catch (error) {
      stop(error);
    }
  };
  const keep = (capture: Capture) => (chunk: Uint8Array) => {
    if (!capture.add(chunk)) stop(tooMuchOutput(argv, limit));
  };
  const { onStdout, onStderr } = options;
  const streams = Promise.all([
    consume(child.stdout!, onStdout ?? keep(stdout)),
    consume(
      child.stderr!,
      onStderr === undefined
        ? keep(stderr)
        : (chunk) => {
            stderr.addTail(chunk);
            return onStderr(chunk);
          },
    ),
  ]);
  // Not waited for: what would be written to a program that has ended may never come.
  feed(child, options.stdin).catch(stop);

  try {
    const end = await ended;
    // A process that left the group may hold the pipes for ever: it gets the deadline, no more.
    await Promise.race([streams, drained(deadline)]);
    child.stdout?.destroy();
    child.stderr?.destroy();
    child.stdin?.destroy();
    if (failure !== undefined) throw failure;
    const result: ProgramResult = {
      stdout: stdout.text(),
      stdoutBytes: stdout.bytes(),
      stderr: stderr.text(),
      code: end.code,
      signal: end.signal,
      durationMs: monotonicMs() - startedAt,
    };
    if ((options.check ?? true) && result.code !== 0) throw programFailed(argv, result, options.errorCode);
    return result;
  } finally {
    deadline.signal.removeEventListener("abort", onAbort);
  }
}

/** The error for a program that ended badly: argv, how and when it ended, and its last lines. Pure. */
export function programFailed(
  argv: readonly string[],
  result: Pick<ProgramResult, "code" | "signal" | "durationMs" | "stderr">,
  code: ErrorCode = "HOST_FAILED",
): SmolVMError {
  const how = result.signal !== undefined ? `was ended by ${result.signal}` : `exited with ${result.code}`;
  const tail = lastLines(result.stderr, 20, 2_000);
  return new SmolVMError(
    code,
    `'${argv[0]}' ${how} after ${Math.round(result.durationMs)} ms${tail === "" ? "" : `: ${tail}`}`,
    {
      details: {
        argv: [...argv],
        exitCode: result.code,
        signal: result.signal,
        durationMs: Math.round(result.durationMs),
        stderr: tail,
      },
    },
  );
}

/** The last lines of a text, at most `lines` and `chars` of them. Pure. */
export function lastLines(text: string, lines: number, chars: number): string {
  return text.trimEnd().split("\n").slice(-lines).join("\n").slice(-chars);
}

/** The error for a program that is not there. Pure. */
export function programMissing(program: string, installHint?: string, cause?: unknown): SmolVMError {
  return new SmolVMError("DEPENDENCY_MISSING", `${program} not found`, {
    hint: installHint ?? `Install the package that holds ${program}, or put it on PATH.`,
    details: { program },
    cause,
  });
}

function tooMuchOutput(argv: readonly string[], limit: number): SmolVMError {
  return new SmolVMError("HOST_FAILED", `'${argv[0]}' printed more than ${limit} bytes`, {
    details: { argv: [...argv], maxOutputBytes: limit },
  });
}

function spawnGroup(argv: readonly string[], options: RunProgramOptions): Promise<ChildProcess> {
  const [program, ...args] = argv;
  if (program === undefined) throw new SmolVMError("INTERNAL", "runProgram needs at least a program");
  const child = spawn(program, args, {
    stdio: [options.stdin === undefined ? "ignore" : "pipe", "pipe", "pipe"],
    detached: process.platform !== "win32",
    windowsHide: true,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.env === undefined ? {} : { env: options.env as NodeJS.ProcessEnv }),
  });
  return new Promise((resolve, reject) => {
    child.once("spawn", () => {
      track(child);
      resolve(child);
    });
    child.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT" && options.cwd === undefined) {
        reject(programMissing(program, options.installHint, error));
        return;
      }
      reject(
        new SmolVMError("HOST_FAILED", `'${program}' could not be started: ${error.message}`, {
          details: { argv: [...argv], cwd: options.cwd, errno: error.code },
          cause: error,
        }),
      );
    });
  });
}

async function feed(child: ChildProcess, stdin: RunProgramOptions["stdin"]): Promise<void> {
  if (stdin === undefined || child.stdin === null) return;
  const content = contentOf(stdin);
  const source = content === undefined ? (stdin as Iterable<Uint8Array>) : [content];
  try {
    await pipeline(Readable.from(source), child.stdin);
  } catch (error) {
    // The program may end, or close its stdin, without reading it all: how it ended tells.
    const code = (error as NodeJS.ErrnoException).code;
    if (code !== "EPIPE" && code !== "ERR_STREAM_PREMATURE_CLOSE") throw error;
  }
}

/** Resolves a little after the deadline is over; never without a limit. */
function drained(deadline: Deadline): Promise<void> {
  return new Promise((resolve) => {
    const soon = () => setTimeout(resolve, DRAIN_MS).unref();
    if (deadline.expired) soon();
    else deadline.signal.addEventListener("abort", soon, { once: true });
  });
}

async function killGroup(child: ChildProcess, ended: Promise<unknown>): Promise<void> {
  signalGroup(child, "SIGTERM");
  let timer: NodeJS.Timeout | undefined;
  const patience = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, TERM_GRACE_MS);
  });
  await Promise.race([ended, patience]);
  clearTimeout(timer);
  signalGroup(child, "SIGKILL"); // also what the program left behind in its group
}

function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    if (process.platform === "win32") child.kill(signal);
    else process.kill(-child.pid, signal);
  } catch {
    // the group is gone
  }
}

const running = new Set<ChildProcess>();

/** The groups are sessions of their own and would outlive us. */
function track(child: ChildProcess): void {
  if (running.size === 0) process.on("exit", killAll);
  running.add(child);
  child.once("exit", () => {
    running.delete(child);
    if (running.size === 0) process.off("exit", killAll);
  });
}

function killAll(): void {
  for (const child of running) signalGroup(child, "SIGKILL");
}

/** Bytes of one stream, bounded. */
class Capture {
  readonly #limit: number;
  #chunks: Uint8Array[] = [];
  #size = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Keeps a chunk; false if it is more than may be kept. */
  add(chunk: Uint8Array): boolean {
    const room = this.#limit - this.#size;
    if (room > 0) this.#push(chunk.subarray(0, room));
    return chunk.length <= room;
  }

  /** Keeps only about the last 8 KiB: what is shown when the program fails. */
  addTail(chunk: Uint8Array): void {
    this.#push(chunk);
    if (this.#size > 16_384) {
      const tail = Buffer.concat(this.#chunks).subarray(-8_192);
      this.#chunks = [tail];
      this.#size = tail.length;
    }
  }

  #push(chunk: Uint8Array): void {
    this.#chunks.push(chunk);
    this.#size += chunk.length;
  }

  bytes(): Uint8Array {
    return Buffer.concat(this.#chunks);
  }

  text(): string {
    return Buffer.concat(this.#chunks).toString("utf8");
  }
}
