import type { NetworkEvent } from "../../egress/event.ts";
import { isSmolVMError } from "../../errors.ts";
import { SmolVM } from "../../smolvm.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import type { Io } from "../io.ts";
import { signalExitCode } from "../terminal/interrupts.ts";

const spec: CommandSpec = {
  name: "network log",
  usage: "[OPTIONS] NAME",
  operands: { min: 1, max: 1, what: "the sandbox's name", complete: "sandboxes" },
  options: [
    { name: "follow", short: "f", help: "print what comes until the sandbox stops, or Ctrl-C" },
    ...COMMON_OPTIONS,
  ],
  exit: "plain",
  notes: [
    "What became of the connections of a sandbox with --network restricted, oldest first, with the rule or the reason: about the last MiB of them.",
    "With --follow and --json each is a line of JSON of its own.",
  ],
  examples: ["smolvm network log box", "smolvm network log -f box"],
};

async function logCommand(io: Io, args: Arguments): Promise<Outcome> {
  const vm = await SmolVM.get(args.operands[0]!);
  if (args.flag("follow")) return await follow(vm, io);
  const events: NetworkEvent[] = [];
  for await (const event of vm.network.events()) events.push(event);
  return { data: events, text: () => events.map(line).join("") };
}

async function follow(vm: SmolVM, io: Io): Promise<Outcome> {
  try {
    for await (const event of vm.network.events({ follow: true, signal: io.interrupts.signal }))
      await io.stdout.write(io.json ? `${JSON.stringify(event)}\n` : line(event));
  } catch (error) {
    // Ctrl-C is how one leaves: nothing failed.
    if (!io.interrupts.received || !isSmolVMError(error, "ABORTED")) throw error;
    return { data: null, printed: true, exitCode: signalExitCode(io.interrupts.received) };
  }
  return { data: null, printed: true };
}

/** One event. */
function line({ at, decision, name, address, port, rule, reason }: NetworkEvent): string {
  const where = name === undefined ? `${address}` : `${name}${address === undefined ? "" : ` (${address})`}`;
  const why = reason ?? (rule === undefined ? "" : `by ${rule}`);
  const text = `${new Date(at).toISOString()} ${decision.padEnd(7)} ${where} port ${port}${why === "" ? "" : `: ${why}`}`;
  return `${text}\n`;
}

export const networkLog: Command = { spec, run: logCommand };
