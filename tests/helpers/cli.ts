import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { until } from "./wait.ts";

/** This checkout's directory. */
export const CHECKOUT: string = join(import.meta.dirname, "../..");

/**
 * The command line under test and its first words: the sources with this Node, or what SMOLVM_TEST_CLI names
 * (e.g. `dist/cli/bin.js`, or an installed package's).
 */
export const CLI: readonly string[] = [
  process.execPath,
  process.env.SMOLVM_TEST_CLI || join(CHECKOUT, "src/cli/bin.ts"),
];

export interface CliRun {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: Buffer;
  readonly stderr: string;
  /** stdout as text */
  readonly text: string;
}

export interface CliOptions {
  /** what stdin holds; absent: stdin is /dev/null */
  readonly input?: string | Uint8Array;
  readonly env?: Record<string, string | undefined>;
  readonly cwd?: string;
}

/** A command line that runs. */
export class RunningCli {
  readonly child: ChildProcess;
  readonly #stdout: Buffer[] = [];
  readonly #stderr: Buffer[] = [];
  /** resolves at the end, when all output was read */
  readonly ended: Promise<CliRun>;

  constructor(child: ChildProcess) {
    this.child = child;
    child.stdout?.on("data", (data: Buffer) => this.#stdout.push(data));
    child.stderr?.on("data", (data: Buffer) => this.#stderr.push(data));
    this.ended = new Promise((resolve, reject) => {
      child.on("error", reject);
      child.on("close", (code, signal) => {
        const stdout = Buffer.concat(this.#stdout);
        resolve({ code, signal, stdout, stderr: this.stderr, text: stdout.toString() });
      });
    });
  }

  get stdout(): string {
    return Buffer.concat(this.#stdout).toString();
  }

  get stderr(): string {
    return Buffer.concat(this.#stderr).toString();
  }

  /** Waits until stdout contains `text`. */
  async printed(text: string): Promise<void> {
    await until(
      `stdout contains ${JSON.stringify(text)}; it has ${JSON.stringify(this.stdout)}, stderr ${JSON.stringify(this.stderr)}`,
      () => this.stdout.includes(text),
    );
  }
}

/** Starts `smolvm ARGS` with pipes. stdin is a pipe that stays open if `input` is absent and `openStdin` is set. */
export function startCli(
  args: readonly string[],
  options: CliOptions & { openStdin?: boolean } = {},
): RunningCli {
  const piped = options.input !== undefined || options.openStdin === true;
  const child = spawn(CLI[0]!, [...CLI.slice(1), ...args], {
    stdio: [piped ? "pipe" : "ignore", "pipe", "pipe"],
    env: { ...process.env, ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  child.stdin?.on("error", () => {}); // it ended without reading all of it
  if (options.input !== undefined) child.stdin?.end(options.input);
  return new RunningCli(child);
}

/** Runs `smolvm ARGS` to its end. */
export function cli(args: readonly string[], options: CliOptions = {}): Promise<CliRun> {
  return startCli(args, options).ended;
}

/** `smolvm ARGS --json`: the envelope. */
export async function cliJson(
  args: readonly string[],
  options: CliOptions = {},
  // biome-ignore lint/suspicious/noExplicitAny: tests look at what they know is there
): Promise<{ code: number | null; ok: boolean; command: string; data: any; error: any }> {
  const run = await cli([args[0]!, "--json", ...args.slice(1)], options);
  return { code: run.code, ...JSON.parse(run.text) };
}

/** Makes and starts a small sandbox by the command line. */
export async function createBox(name: string, ...options: string[]): Promise<void> {
  const run = await cli([
    "create",
    "--name",
    name,
    "--network",
    "off",
    "--memory",
    "256M",
    "--start",
    ...options,
  ]);
  if (run.code !== 0 || run.text !== `${name}\n`)
    throw new Error(`create failed with ${run.code}: ${run.text}${run.stderr}`);
}

/** Runs a line of bash in which `smolvm` is the command line under test. */
export function shell(line: string, options: CliOptions = {}): Promise<CliRun> {
  const words = CLI.map((word) => `'${word}'`).join(" ");
  const child = spawn("bash", ["-c", `smolvm() { ${words} "$@"; }; ${line}`], {
    stdio: [options.input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
    env: { ...process.env, ...options.env },
  });
  child.stdin?.end(options.input);
  return new RunningCli(child).ended;
}

/** A program on a terminal of its own. */
export class Terminal {
  readonly child: ChildProcess;
  #screen = "";
  /** resolves with the exit code */
  readonly ended: Promise<number | null>;

  constructor(
    argv: readonly string[],
    options: { cols?: number; rows?: number; env?: Record<string, string> } = {},
  ) {
    const driver = join(import.meta.dirname, "terminal.py");
    const { cols = 80, rows = 24 } = options;
    this.child = spawn("python3", [driver, String(cols), String(rows), ...argv], {
      stdio: ["pipe", "pipe", "inherit", "pipe"],
      env: { ...process.env, TERM: "xterm-256color", ...options.env },
    });
    (this.child.stdout as Readable).on("data", (data: Buffer) => {
      this.#screen += data.toString("latin1");
    });
    this.ended = new Promise((resolve) => this.child.on("close", resolve));
  }

  /** `smolvm ARGS` on a terminal. */
  static cli(args: readonly string[], options: ConstructorParameters<typeof Terminal>[1] = {}): Terminal {
    return new Terminal([...CLI, ...args], options);
  }

  /** everything shown so far */
  get screen(): string {
    return this.#screen;
  }

  type(keys: string): void {
    (this.child.stdin as Writable).write(keys);
  }

  resize(cols: number, rows: number): void {
    (this.child.stdio[3] as Writable).write(`${cols} ${rows}\n`);
  }

  /** Closes the terminal, as closing its window does. */
  hangUp(): void {
    (this.child.stdin as Writable).end();
  }

  /** Waits until the screen has shown `pattern`. */
  async shows(pattern: string | RegExp, timeoutMs?: number): Promise<void> {
    const seen = (): boolean =>
      typeof pattern === "string" ? this.#screen.includes(pattern) : pattern.test(this.#screen);
    try {
      await until(`the terminal shows ${pattern}`, seen, timeoutMs);
    } catch {
      throw new Error(`the terminal never showed ${pattern}; it has ${JSON.stringify(this.#screen)}`);
    }
  }
}
