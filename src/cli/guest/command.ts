import type { ProcessExit } from "../../agent/types.ts";
import type { CommandLimits } from "../../config/spec.ts";
import type { SmolVM } from "../../smolvm.ts";
import { timeoutOption } from "../args/duration.ts";
import { commandLimits } from "../args/limits.ts";
import { usage } from "../args/parse.ts";
import type { Arguments } from "../arguments.ts";
import type { CommandSpec, Outcome } from "../command.ts";
import type { Io } from "../io.ts";
import { wantsStdin } from "./stdin.ts";
import { streamProcess } from "./stream.ts";

/** How a command is to be run in the guest. */
export interface GuestCommandOptions {
  readonly tty: boolean;
  readonly interactive: boolean;
  readonly timeoutMs: number | undefined;
  readonly limits?: CommandLimits | undefined;
  /** over the sandbox's own */
  readonly env?: Record<string, string> | undefined;
  readonly cwd?: string | undefined;
  readonly user?: string | undefined;
}

/**
 * Reads COMMAND_OPTIONS, and checks that there is a terminal where one is asked for: before anything is made.
 * @throws SmolVMError USAGE
 */
export async function commandOptions(
  io: Io,
  args: Arguments,
  spec: CommandSpec,
): Promise<GuestCommandOptions> {
  const tty = args.flag("tty");
  if (tty && io.json) {
    throw usage(
      spec,
      "-t and --json exclude each other",
      "A terminal session has no result to print: leave one out.",
    );
  }
  if (tty) {
    const { requireTerminal } = await import("./terminal-session.ts");
    requireTerminal("-t", "Leave -t out: output and input are streamed without it too.");
  }
  return {
    tty,
    interactive: args.flag("interactive"),
    timeoutMs: timeoutOption(args),
    limits: commandLimits(args),
  };
}

/** Runs a command in a sandbox that runs, joined to our streams or terminal, or collected for --json. */
export async function runGuestCommand(
  vm: SmolVM,
  command: readonly string[],
  options: GuestCommandOptions,
  io: Io,
): Promise<Outcome> {
  const { tty, interactive, ...rest } = options;
  // Until the command runs Ctrl-C gives up; from then on it goes to the command.
  const common = { ...rest, signal: io.interrupts.signal };
  if (tty) {
    const { terminalSession, terminalSize } = await import("./terminal-session.ts");
    const env = { ...terminalEnv(io.env), ...options.env };
    const pty = terminalSize();
    const shell = command.length === 0;
    const guest = shell ? vm.shell({ ...common, ...pty, env }) : vm.spawn(command, { ...common, pty, env });
    return await passed(vm, await terminalSession(guest, io), io);
  }
  const stdin = wantsStdin(interactive);
  if (io.json) {
    const { collectGuestCommand } = await import("./collect.ts");
    return await collectGuestCommand(vm, command, { ...common, stdin });
  }
  const guest = vm.spawn(command, { ...common, stdin: stdin ? "pipe" : "ignore" });
  return await passed(vm, await streamProcess(guest, io, stdin), io);
}

async function passed(vm: SmolVM, { exitCode }: ProcessExit, io: Io): Promise<Outcome> {
  // A command that fails since its disk cannot grow cannot know why. Whatever happens, its exit code is passed on.
  const info = exitCode === 0 ? undefined : await vm.info().catch(() => undefined);
  const warning = info?.warning;
  if (warning !== undefined) io.note(`warning: ${warning}`);
  return { data: null, exitCode };
}

/** The kind of terminal is the one fact about ours that the guest needs. */
function terminalEnv(env: NodeJS.ProcessEnv): Record<string, string> {
  return { TERM: env.TERM || "xterm-256color" };
}
