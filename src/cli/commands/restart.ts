import { COMMON_OPTIONS, FIXED_OPTIONS } from "../args/options.ts";
import type { Arguments } from "../arguments.ts";
import { changeEach } from "../change-each.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import type { Io } from "../io.ts";

const spec: CommandSpec = {
  name: "restart",
  usage: "[OPTIONS] NAME...",
  operands: { min: 1, max: Number.POSITIVE_INFINITY, what: "the sandbox's name", complete: "sandboxes" },
  options: [
    {
      name: "timeout",
      value: "TIME",
      help: "give up after that time, stop and start together (default: 60s for the start)",
    },
    ...COMMON_OPTIONS,
  ],
  fixed: FIXED_OPTIONS,
  exit: "plain",
  notes: [
    "Processes in it are ended, the disk is kept. A sandbox that does not run is only started. Prints the names.",
  ],
  examples: ["smolvm restart box"],
};

function restartCommand(io: Io, args: Arguments): Promise<Outcome> {
  return changeEach(io, args, (vm, limits) => vm.restart({ ...limits, onProgress: io.onProgress }));
}

export const restart: Command = { spec, run: restartCommand };
