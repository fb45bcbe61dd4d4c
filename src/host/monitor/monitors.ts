import { readdirSync, readFileSync } from "node:fs";
import type { Deadline } from "../../util/deadline.ts";
import { identify, type ProcessIdentity } from "../process/process-identity.ts";
import { runProgram } from "../process/run.ts";
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
 * write down that it had started them.
 * @throws SmolVMError what running `ps` throws, on systems without /proc
 */
export async function runningMonitors(deadline: Deadline): Promise<RunningMonitor[]> {
  return monitorsAmong(await commandLines(deadline)).map(({ pid, exit, stray }) => ({
    identity: identify(pid),
    exit,
    stray,
  }));
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

export interface CommandLine {
  readonly pid: number;
  readonly args: readonly string[];
}

async function commandLines(deadline: Deadline): Promise<CommandLine[]> {
  if (process.platform === "linux") return procCommandLines();
  return process.platform === "win32" ? await cimCommandLines(deadline) : await psCommandLines(deadline);
}

function procCommandLines(): CommandLine[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        return [{ pid: Number(name), args: readFileSync(`/proc/${name}/cmdline`, "utf8").split("\0") }];
      } catch {
        return []; // it ended while we looked
      }
    });
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

async function cimCommandLines(deadline: Deadline): Promise<CommandLine[]> {
  const query =
    "Get-CimInstance Win32_Process | Select-Object ProcessId,CommandLine | ConvertTo-Json -Compress";
  const argv = ["powershell.exe", "-NoProfile", "-NonInteractive", "-Command", query];
  const { stdout } = await runProgram(argv, { deadline });
  return parseCimProcesses(stdout);
}

/** Processes as Windows lists them; of those of others the command line is null. Pure. */
export function parseCimProcesses(json: string): CommandLine[] {
  const list = JSON.parse(json) as readonly { ProcessId: number; CommandLine: string | null }[];
  return list.flatMap(({ ProcessId, CommandLine }) =>
    CommandLine === null ? [] : [{ pid: ProcessId, args: windowsWords(CommandLine) }],
  );
}

/** The words of a Windows command line: quotes hold a word together. (Paths cannot have quotes in them there.) */
function windowsWords(line: string): string[] {
  return (line.match(/(?:"[^"]*"|[^\s"])+/g) ?? []).map((word) => word.replaceAll('"', ""));
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
