/**
 * The monitor program in Node, for hosts that have no native one (macOS, and a checkout on Windows): the same command line, run as a process of
 * its own by launch.ts. With --die-with-parent its stdin is a pipe from its parent, and the pipe's end means the
 * parent's death; a monitor that is itself killed cannot take its program with it here (no parent-death signal).
 *
 *   monitor run --console FILE --stderr FILE --max-bytes N --exit FILE [--die-with-parent] [--relay FILE] [--lock FILE] -- PROGRAM ARGS...
 *
 * With --lock (Windows, and only here) it holds FILE until it ends, and says beside it who it is: see monitors.ts.
 *
 * With --relay (hosts without Unix sockets, and only here) the program is a QEMU that connects to the monitor: see
 * relay/machine.ts. FILE says where others reach it then.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, fstatSync, openSync, writeFileSync, writeSync } from "node:fs";
import { constants, devNull } from "node:os";
import { renameSync, rmSync } from "../../util/files-go.ts";
import { holdLock } from "../process/process-lock.ts";
import { PORT_PLACEHOLDER } from "../relay/placeholder.ts";
import { noteMonitor } from "./monitor-note.ts";

const STDERR_MAX_BYTES = 64 * 1024;
const DRAIN_MS = 100;

interface MonitorArguments {
  readonly console: string;
  readonly stderr: string;
  readonly exit: string;
  readonly maxBytes: number;
  readonly dieWithParent: boolean;
  readonly relay: string | undefined;
  readonly lock: string | undefined;
  readonly argv: readonly string[];
}

/** Reads the monitor's command line, or says what is wrong with it. */
function parseArguments(args: readonly string[]): MonitorArguments {
  const options = new Map<string, string>();
  let dieWithParent = false;
  if (args[0] !== "run") throw new Error(`unknown command '${args[0]}'`);
  for (let i = 1; i < args.length; i++) {
    const arg = args[i]!;
    if (arg === "--die-with-parent") dieWithParent = true;
    else if (arg === "--") return finish(args.slice(i + 1));
    else options.set(arg, args[++i] ?? "");
  }
  return finish([]);

  function finish(argv: readonly string[]): MonitorArguments {
    const need = (name: string): string => {
      const value = options.get(name);
      if (!value) throw new Error(`${name} is missing`);
      return value;
    };
    if (argv.length === 0) throw new Error("no program after --");
    return {
      console: need("--console"),
      stderr: need("--stderr"),
      exit: need("--exit"),
      maxBytes: Number(need("--max-bytes")),
      dieWithParent,
      relay: options.get("--relay"),
      lock: options.get("--lock"),
      argv,
    };
  }
}

/** A file that never holds more than half its bound: then it becomes FILE.1, and a new one begins. FILE.at: see rotated-log.ts. */
class BoundedFile {
  readonly #path: string;
  readonly #half: number;
  #fd: number;
  /** where the present file begins among all bytes since the log began */
  #offset = 0;
  #size = 0;

  constructor(path: string, maxBytes: number) {
    this.#path = path;
    this.#half = Math.max(1, Math.floor(maxBytes / 2));
    rmSync(`${path}.at`, { force: true });
    this.#fd = openSync(path, "w", 0o600);
  }

  write(chunk: Uint8Array): void {
    if (this.#size > 0 && this.#size + chunk.length > this.#half) {
      closeSync(this.#fd);
      renameSync(this.#path, `${this.#path}.1`);
      this.#fd = openSync(this.#path, "w", 0o600);
      this.#offset += this.#size;
      this.#size = 0;
      writeFileSync(`${this.#path}.at`, `${this.#offset} ${fstatSync(this.#fd, { bigint: true }).ino}\n`, {
        mode: 0o600,
      });
    }
    const part = chunk.subarray(-this.#half);
    writeSync(this.#fd, part);
    this.#size += part.length;
  }
}

async function main(): Promise<void> {
  const options = parseArguments(process.argv.slice(2));
  if (options.lock !== undefined) {
    holdLock(options.lock);
    noteMonitor(options.lock, { pid: process.pid, exit: options.exit });
  }
  const consoleFile = new BoundedFile(options.console, options.maxBytes);
  const stderrFile = new BoundedFile(options.stderr, STDERR_MAX_BYTES);
  const relay =
    options.relay === undefined
      ? undefined
      : { file: options.relay, ...(await import("../relay/machine.ts")) };
  const machine = relay && new relay.MachineConnections();
  const port = String(await machine?.listen());
  const args = options.argv.slice(1).map((arg) => (relay ? arg.replace(PORT_PLACEHOLDER, port) : arg));
  // Not detached: the program stays in our session, and signals to our group reach both.
  const child = spawn(options.argv[0]!, args, {
    stdio: [relay ? "pipe" : "ignore", "pipe", "pipe"],
    windowsHide: true,
  });
  child.once("error", (error) => {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 127;
    process.stdin.destroy();
  });
  child.once("spawn", () => {
    writeSync(1, `${JSON.stringify({ pid: child.pid })}\n`);
    letGoOfOutput();
    const onConsole = (chunk: Buffer): void => consoleFile.write(chunk);
    if (relay && machine && child.stdin) {
      machine
        .serve({ stdin: child.stdin, stdout: child.stdout! }, relay.file, onConsole)
        .catch((error: Error) => {
          stderrFile.write(Buffer.from(`monitor: ${error.message}\n`));
          child.kill("SIGKILL");
        });
    } else child.stdout!.on("data", onConsole);
    child.stderr!.on("data", (chunk: Buffer) => stderrFile.write(chunk));
    for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const)
      process.on(signal, () => child.kill(signal));
    if (options.dieWithParent) {
      process.stdin.on("end", () => child.kill("SIGKILL"));
      process.stdin.on("error", () => child.kill("SIGKILL"));
      process.stdin.resume();
    }
    // What it printed last may still be on its way; who holds its pipes beyond that is not waited for.
    const finish = (): never => writeEnd(options.exit, child);
    child.once("close", finish);
    child.once("exit", () => setTimeout(finish, DRAIN_MS));
  });
}

/**
 * Our starter sees our output end. The descriptors stay taken: a file or socket that got the number of stdout or stderr
 * would be taken for it, by Node as well.
 */
function letGoOfOutput(): void {
  for (const descriptor of [1, 2]) {
    closeSync(descriptor);
    openSync(devNull, "w");
  }
}

/** Writes down how the program ended, and ends too. */
function writeEnd(file: string, { pid, exitCode, signalCode }: ChildProcess): never {
  const signal = signalCode === null ? null : (constants.signals[signalCode] ?? null);
  writeFileSync(`${file}.tmp`, `${JSON.stringify({ pid, code: exitCode, signal, at_ms: Date.now() })}\n`, {
    mode: 0o600,
  });
  renameSync(`${file}.tmp`, file);
  process.exit(0);
}

main().catch((error: Error) => {
  process.stderr.write(`monitor: ${error.message}\n`);
  process.exit(2);
});
