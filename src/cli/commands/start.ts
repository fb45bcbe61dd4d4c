import type { Arguments } from "../args/arguments.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import { changeEach } from "../change-each.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import type { Io } from "../io.ts";

const spec: CommandSpec = {
  name: "start",
  usage: "[OPTIONS] NAME...",
  operands: { min: 1, max: Number.POSITIVE_INFINITY, what: "the sandbox's name", complete: "sandboxes" },
  options: [
    { name: "timeout", value: "TIME", help: "give up after that time (default: 60s)" },
    ...COMMON_OPTIONS,
  ],
  exit: "plain",
  notes: ["Starting what runs is fine. Prints the names."],
  examples: ["smolvm start box"],
};

function startCommand(io: Io, args: Arguments): Promise<Outcome> {
  return changeEach(io, args, (vm, limits) => vm.start({ ...limits, onProgress: io.onProgress }));
}

export const start: Command = { spec, run: startCommand };
