import { COMMON_OPTIONS } from "../args/options.ts";
import type { Arguments } from "../arguments.ts";
import { changeEach } from "../change-each.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import type { Io } from "../io.ts";

const spec: CommandSpec = {
  name: "stop",
  usage: "[OPTIONS] NAME...",
  operands: { min: 1, max: Number.POSITIVE_INFINITY, what: "the sandbox's name", complete: "sandboxes" },
  options: [{ name: "timeout", value: "TIME", help: "give up after that time" }, ...COMMON_OPTIONS],
  exit: "plain",
  notes: [
    "Processes in it are ended, the disk is synced and kept. Stopping what is stopped is fine. Prints the names.",
  ],
  examples: ["smolvm stop box"],
};

function stopCommand(io: Io, args: Arguments): Promise<Outcome> {
  return changeEach(io, args, async (vm, limits) => {
    io.onProgress({ stage: `stop ${vm.name}`, message: `stopping ${vm.name}` });
    await vm.stop(limits);
  });
}

export const stop: Command = { spec, run: stopCommand };
