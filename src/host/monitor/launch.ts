import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { constants } from "node:os";
import { SmolVMError } from "../../errors.ts";
import type { Deadline } from "../../util/deadline.ts";
import { rmSync } from "../../util/files-go.ts";
import { readEnvironment } from "../environment.ts";
import { nativeProgram, packagedProgram } from "../package.ts";
import { noteChild } from "../process/own-children.ts";
import { identify, type ProcessIdentity, type VmmIdentity } from "../process/process-identity.ts";
import { lastLines } from "../process/run.ts";
import { refusalToEnter, type Scope } from "../systemd/scope.ts";
import { type OwnNetwork, ownNetworkArgs } from "./own-network.ts";

export interface LaunchRequest {
  /** the program (absolute path) and its arguments */
  readonly argv: readonly string[];
  /** file for the program's stdout (the guest's console), kept bounded; its older half is FILE.1 */
  readonly console: string;
  /** file for the program's stderr, kept bounded in the same way */
  readonly stderr: string;
  /** JSON file that says how the program ended */
  readonly exit: string;
  /** true: the program dies with this process, even if that is killed */
  readonly dieWithParent: boolean;
  readonly deadline: Deadline;
  /** its working directory; default: ours */
  readonly cwd?: string | undefined;
  /** variables that the program gets besides */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** the program runs another one, which says itself which process it is (monitor/src/enter.rs): only with the native monitor */
  readonly wrapped?: boolean;
  /** directory of the cgroup that the program is put into; only with the native monitor */
  readonly cgroup?: string | undefined;
  /**
   * the scope of systemd's that the monitor and all that it starts are put into, before the program is started. Without one it
   * runs all the same (see `scopeRefusal`); only with the native monitor
   */
  readonly scope?: Scope | undefined;
  /** told of the program and its monitor as soon as these are there; they end if it throws */
  readonly onStarted?: ((started: VmmIdentity) => void) | undefined;
  /** a network of its own that the program is started in; only with the native monitor */
  readonly network?: OwnNetwork | undefined;
  /**
   * the program is a QEMU that connects to a relay, which lets others in by token: the file that will say where
   * (relay/dial.ts). The relay is the monitor in Node, or (Windows) a process that the native monitor starts beside it
   */
  readonly relay?: string | undefined;
  /** Windows, and needed there: the file that the monitor holds for as long as it runs, by which others see that it does */
  readonly lock?: string | undefined;
  /** which monitor; default: the native one where it is built, else Node */
  readonly monitor?: "native" | "node";
}

/** How a launched program ended. */
export interface LaunchedExit {
  readonly code: number | undefined;
  readonly signal: string | undefined;
  /** the last lines of its stderr, bounded */
  readonly stderr: string;
}

/** A program that runs under its monitor. */
export interface LaunchedProgram {
  readonly program: ProcessIdentity;
  readonly monitor: ProcessIdentity;
  /** resolves when the program has ended, never rejects; it does not keep this process alive */
  readonly exited: Promise<LaunchedExit>;
  /** why it is not in the scope that was asked for */
  readonly scopeRefusal: string | undefined;
}

/** Most bytes of a console that are kept: the current file and the one before it, half each. */
export const CONSOLE_MAX_BYTES: number = 1024 * 1024;
/** What a monitor that is held waits for on its stdin. */
const GO = "\n";
/** What the native monitor says of a command line that it does not understand. */
const MONITOR_USAGE = "usage: smolvm-monitor";
const STDERR_TAIL_LINES = 20;
const STDERR_TAIL_CHARS = 4_000;

/**
 * Starts a long-running program as a session of its own, under a monitor process that keeps its output files bounded
 * and writes down how it ended. Resolves when the program's process exists (its exec may still fail: see `exited`).
 * @throws SmolVMError HOST_FAILED, TIMEOUT, ABORTED
 */
export async function launchProgram(request: LaunchRequest): Promise<LaunchedProgram> {
  const { deadline } = request;
  deadline.check();
  rmSync(request.exit, { force: true }); // a former run's end is not this one's
  const child = spawnMonitor(request);
  const monitorEnded = new Promise<void>((resolve) => {
    child.once("close", () => resolve());
    child.once("error", () => resolve());
  });
  if (child.pid !== undefined)
    noteChild(child.pid, new Promise<void>((resolve) => child.once("exit", () => resolve())));
  try {
    const started = readPid(child, request.argv);
    started.catch(() => {}); // it may fail before anybody waits for it
    const scopeRefusal = await letGo(child, request.scope);
    const pid = await deadline.race(started);
    child.unref();
    // On Windows the program has no other life than its monitor's, which keeps its number from being used again.
    const program = identify(pid, request.lock);
    const monitor = identify(child.pid!, request.lock);
    request.onStarted?.({ ...program, monitor });
    return {
      program,
      monitor,
      exited: monitorEnded.then(() => readExit(request)),
      scopeRefusal,
    };
  } catch (error) {
    killSession(child);
    throw error;
  }
}

/** Puts a monitor that is held into its scope, and lets it go in any case. Returns why it is in none. */
async function letGo(monitor: ChildProcess, scope: Scope | undefined): Promise<string | undefined> {
  if (scope === undefined || monitor.pid === undefined) return undefined;
  const refusal = await refusalToEnter(scope, monitor.pid);
  monitor.stdin?.end(GO);
  return refusal;
}

/** Kills a monitor and all that it has started, which may not have come to ask for its death with the monitor. */
function killSession(monitor: ChildProcess): void {
  if (monitor.pid === undefined) return; // it never ran
  try {
    process.kill(process.platform === "win32" ? monitor.pid : -monitor.pid, "SIGKILL");
  } catch {
    // all of it has ended
  }
}

/** How the program ended, from the files its monitor left; an end that was not written down has neither code nor signal. */
function readExit(files: { readonly exit: string; readonly stderr: string }): LaunchedExit {
  let end: { code?: unknown; signal?: unknown } = {};
  try {
    end = JSON.parse(readFileSync(files.exit, "utf8"));
  } catch {
    // the monitor itself was killed
  }
  return {
    code: typeof end.code === "number" ? end.code : undefined,
    signal: typeof end.signal === "number" ? signalName(end.signal) : undefined,
    stderr: readTail(files.stderr),
  };
}

function spawnMonitor(request: LaunchRequest): ChildProcess {
  const windows = process.platform === "win32";
  const byNode = request.monitor === "node" || (request.relay !== undefined && !windows);
  const native = byNode ? undefined : nativeProgram("monitor");
  const { scope, cgroup, network } = request;
  const asked = [scope, cgroup, network].some((part) => part !== undefined);
  const needed = request.monitor === "native" || request.wrapped || asked;
  if (native === undefined && needed) {
    throw new SmolVMError("DEPENDENCY_MISSING", "the native monitor program is not built", {
      hint: "Run scripts/build-native.sh",
    });
  }
  const args = [
    "run",
    ...["--console", request.console, "--stderr", request.stderr],
    ...["--max-bytes", String(CONSOLE_MAX_BYTES), "--exit", request.exit],
    ...(request.dieWithParent ? ["--die-with-parent"] : []),
    ...(request.relay === undefined ? [] : relayArgs(request.relay, native !== undefined)),
    ...(request.lock === undefined ? [] : ["--lock", request.lock]),
    ...(cgroup === undefined ? [] : ["--cgroup", cgroup]),
    ...(scope === undefined ? [] : ["--held"]),
    ...(request.wrapped ? ["--wrapped"] : []),
    ...(network === undefined ? [] : ownNetworkArgs(network)),
    "--",
    ...request.argv,
  ];
  if (native !== undefined) {
    const env = { ...(request.wrapped ? enclosedEnvironment() : process.env), ...request.env };
    // Windows has no parent-death signal: the end of the pipe that is its stdin is its parent's.
    const watches = scope !== undefined || (windows && request.dieWithParent);
    const child = spawn(native, args, {
      stdio: [watches ? "pipe" : "ignore", "pipe", "pipe"],
      detached: true,
      windowsHide: true,
      env,
      cwd: request.cwd,
    });
    if (windows) (child.stdin as { unref?: () => void } | null)?.unref?.();
    child.stdin?.on("error", () => {}); // it ended: `readPid` tells
    return child;
  }
  const script = packagedProgram("host/monitor/monitor");
  // The Node monitor has no parent-death signal: it watches the pipe that is its stdin instead.
  const stdin = request.dieWithParent ? "pipe" : "ignore";
  const child = spawn(process.execPath, ["--no-warnings", script, ...args], {
    stdio: [stdin, "pipe", "pipe"],
    detached: true,
    windowsHide: true,
    cwd: request.cwd,
  });
  child.stdin?.on("error", () => {}); // it ended: `exited` tells
  (child.stdin as { unref?: () => void } | null)?.unref?.();
  return child;
}

/** What a monitor is told of a relay: the native one also how to start it. */
function relayArgs(relay: string, native: boolean): string[] {
  if (!native) return ["--relay", relay];
  const command = [process.execPath, "--no-warnings", packagedProgram("host/relay/main"), relay];
  return command.flatMap((word) => ["--relay-word", word]);
}

/** All that an enclosed program and what encloses it get of our environment, in which there may be secrets. */
function enclosedEnvironment(): NodeJS.ProcessEnv {
  const { path, xdgRuntimeDir } = readEnvironment(process.env);
  return {
    ...(path === undefined ? {} : { PATH: path }),
    ...(xdgRuntimeDir === undefined ? {} : { XDG_RUNTIME_DIR: xdgRuntimeDir }),
  };
}

/** The one line that a monitor prints: `{"pid":N}`, or `{"error":"why","errno":N}`. */
function readPid(child: ChildProcess, argv: readonly string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    let out = "";
    let err = "";
    const fail = (why: string, cause?: unknown): void =>
      reject(
        new SmolVMError("HOST_FAILED", `'${argv[0]}' could not be started: ${why}`, {
          details: { argv: [...argv] },
          cause,
        }),
      );
    child.stdout?.on("data", (chunk: Buffer) => {
      out = (out + chunk.toString("utf8")).slice(0, 4_000);
      if (!out.includes("\n")) return;
      const { pid, error } = parseLine(out);
      if (pid === undefined) fail(error ?? `its monitor said '${out.trim()}'`);
      else resolve(pid);
    });
    child.stderr?.on("data", (chunk: Buffer) => {
      err = (err + chunk.toString("utf8")).slice(-STDERR_TAIL_CHARS);
    });
    child.once("error", (error) => fail(error.message, error));
    child.once("close", (code, signal) => {
      if (err.startsWith(MONITOR_USAGE)) reject(otherMonitor(argv));
      else fail(lastLines(err, STDERR_TAIL_LINES, 1_000) || `its monitor ended at once (${signal ?? code})`);
    });
  });
}

/** The error for a monitor that does not know what it is asked for. */
function otherMonitor(argv: readonly string[]): SmolVMError {
  return new SmolVMError(
    "HOST_FAILED",
    `'${argv[0]}' could not be started: the native monitor program is of another version than smolvm`,
    {
      hint: "In a checkout build it anew: scripts/build-native.sh. Else install the package again: npm install smolvm",
      details: { argv: [...argv] },
    },
  );
}

function parseLine(line: string): { readonly pid?: number; readonly error?: string } {
  try {
    const { pid, error } = JSON.parse(line) as { pid?: unknown; error?: unknown };
    if (typeof pid === "number" && pid > 0) return { pid };
    return typeof error === "string" ? { error } : {};
  } catch {
    return {};
  }
}

function readTail(path: string): string {
  for (const file of [path, `${path}.1`]) {
    if (!existsSync(file)) continue;
    const tail = lastLines(readFileSync(file, "utf8"), STDERR_TAIL_LINES, STDERR_TAIL_CHARS);
    if (tail !== "") return tail; // right after a rotation the newer file is empty
  }
  return "";
}

/** "SIGKILL" for 9. */
function signalName(number: number): string {
  const entry = Object.entries(constants.signals).find(([, value]) => value === number);
  return entry?.[0] ?? `signal ${number}`;
}
