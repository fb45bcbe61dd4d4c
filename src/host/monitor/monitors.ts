import { join } from "node:path";
import type { Deadline } from "../../util/deadline.ts";
import { type CommandLine, procCommandLines } from "../process/command-lines.ts";
import { identify, type ProcessIdentity } from "../process/process-identity.ts";
import { isLockHeld } from "../process/process-lock.ts";
import { runProgram } from "../process/run.ts";
import { readMonitorNote } from "./monitor-note.ts";
import { WRAPPER_MARK } from "./wrapper-mark.ts";

/** A monitor that runs (host/monitor/launch.ts), or what it has put around its program, told by its command line. */
export interface RunningMonitor {
  readonly identity: ProcessIdentity;
  /** a wrapper whose monitor is gone: it was killed before the wrapper could ask to die with it */
  readonly stray: boolean;
  /** the file into which it will write how its program ended: names the sandbox */
  readonly exit: string;
}

/**
 * All monitors of this machine that we can see, whoever started them: also those whose starter died before it could
 * write down that it had started them. On Windows those whose locks are in these directories.
 * @param runtimeDirs of sandboxes
 * @throws SmolVMError what running `ps` throws, on systems without /proc
 */
export async function runningMonitors(
  deadline: Deadline,
  runtimeDirs: readonly string[],
): Promise<RunningMonitor[]> {
  if (process.platform === "win32") return runtimeDirs.flatMap((dir) => monitorOf(join(dir, LOCK)));
  return monitorsAmong(await commandLines(deadline)).map(({ pid, exit, stray }) => ({
    identity: identify(pid),
    exit,
    stray,
  }));
}

/** The name of a monitor's lock in its sandbox's runtime directory (files/filenames.ts). */
const LOCK = "monitor.lock";

/** Who holds a monitor's lock. */
export function monitorOf(lock: string): RunningMonitor[] {
  if (!isLockHeld(lock)) return [];
  const note = readMonitorNote(lock);
  // One without a note has started nothing yet: it is told once it has.
  return note === undefined ? [] : [{ identity: identify(note.pid, lock), exit: note.exit, stray: false }];
}

/** The monitors among processes, and the wrappers that have lost theirs. Pure. */
export function monitorsAmong(
  lines: readonly CommandLine[],
): { readonly pid: number; readonly exit: string; readonly stray: boolean }[] {
  const found = (exitOf: (args: readonly string[]) => string | undefined, stray: boolean) =>
    lines.flatMap(({ pid, args }) => {
      const exit = exitOf(args);
      return exit === undefined ? [] : [{ pid, exit, stray }];
    });
  const monitors = found(exitOption, false);
  const watched = new Set(monitors.map(({ exit }) => exit));
  return [...monitors, ...found(markedExit, true).filter(({ exit }) => !watched.has(exit))];
}

async function commandLines(deadline: Deadline): Promise<CommandLine[]> {
  if (process.platform === "linux") return procCommandLines();
  return await psCommandLines(deadline);
}

/** `ps` shows arguments separated by spaces, so a path with two spaces in a row would be missed. */
async function psCommandLines(deadline: Deadline): Promise<CommandLine[]> {
  const { stdout } = await runProgram(["ps", "-axww", "-o", "pid=,command="], { deadline });
  return stdout
    .toString()
    .split("\n")
    .map((line) => line.trim().split(" "))
    .filter(([pid]) => /^\d+$/.test(pid ?? ""))
    .map(([pid, ...args]) => ({ pid: Number(pid), args }));
}

/** The file after --exit, of a command line that is a monitor's. Pure. */
function exitOption(args: readonly string[]): string | undefined {
  const program = args.indexOf("--");
  const own = program < 0 ? [] : args.slice(0, program);
  const at = own.indexOf("--exit");
  if (at < 0 || !own.includes("run") || !own.includes("--console")) return undefined;
  const rest = own.slice(at + 1);
  const next = rest.findIndex((arg) => arg.startsWith("--"));
  return rest.slice(0, next < 0 ? undefined : next).join(" ");
}

/** The file after the mark of a wrapper (isolation/bwrap-args.ts). Pure. */
function markedExit(args: readonly string[]): string | undefined {
  const own = args.slice(0, Math.max(0, args.indexOf("--")));
  const at = own.indexOf(WRAPPER_MARK);
  return at > 0 && own[at - 1] === "--setenv" ? own[at + 1] : undefined;
}
