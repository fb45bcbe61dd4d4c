import { isSmolVMError, SmolVMError } from "../../errors.ts";
import { SmolVM } from "../../smolvm.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import type { Io } from "../io.ts";
import { VisibleStream, visibleLines } from "../render/visible.ts";
import { signalExitCode } from "../terminal/interrupts.ts";

/** As much as the host keeps of a console, in characters. */
const MAX_COLLECTED = 1024 * 1024;

const spec: CommandSpec = {
  name: "logs",
  usage: "[OPTIONS] NAME",
  operands: { min: 1, max: 1, what: "the sandbox's name", complete: "sandboxes" },
  options: [
    { name: "follow", short: "f", help: "print what comes until the sandbox stops, or Ctrl-C" },
    { name: "tail", short: "n", value: "LINES", help: "only the last lines" },
    ...COMMON_OPTIONS,
  ],
  exit: "plain",
  notes: [
    "The console holds what the guest's kernel and smolvm's agent say, about the last MiB of it. What commands print goes to whoever runs them. On a terminal control characters are made visible.",
    "With --follow and --json the object comes when the sandbox has stopped, with the last MiB.",
  ],
  examples: ["smolvm logs box", "smolvm logs --tail 20 box", "smolvm logs -f box"],
};

async function logsCommand(io: Io, args: Arguments): Promise<Outcome> {
  const tail = args.value("tail");
  if (tail !== undefined && !/^\d{1,9}$/.test(tail)) {
    throw new SmolVMError("USAGE", `--tail: '${tail}' is not a number of lines`, { hint: "Write --tail 20" });
  }
  const options = tail === undefined ? {} : { tailLines: Number(tail) };
  const vm = await SmolVM.get(args.operands[0]!);
  if (args.flag("follow"))
    return await follow(vm.followLogs({ ...options, signal: io.interrupts.signal }), io);
  const log = await vm.logs(options);
  return { data: { log }, text: () => (io.stdout.isTTY ? visibleLines(log) : log) };
}

async function follow(pieces: AsyncIterable<string>, io: Io): Promise<Outcome> {
  if (io.json) {
    let log = "";
    for await (const piece of pieces) log = (log + piece).slice(-MAX_COLLECTED);
    return { data: { log } };
  }
  const visible = io.stdout.isTTY ? new VisibleStream() : undefined;
  try {
    for await (const piece of pieces) await io.stdout.write(visible ? visible.push(piece) : piece);
  } catch (error) {
    // Ctrl-C is how one leaves: nothing failed.
    if (!io.interrupts.received || !isSmolVMError(error, "ABORTED")) throw error;
    return { data: null, printed: true, exitCode: signalExitCode(io.interrupts.received) };
  }
  if (visible) await io.stdout.write(visible.end());
  return { data: null, printed: true };
}

export const logs: Command = { spec, run: logsCommand };
