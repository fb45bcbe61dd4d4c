import { COMMON_OPTIONS } from "../args/options.ts";
import type { Arguments } from "../arguments.ts";
import { changeEach } from "../change-each.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import type { Io } from "../io.ts";

const spec: CommandSpec = {
  name: "pause",
  usage: "[OPTIONS] NAME...",
  operands: { min: 1, max: Number.POSITIVE_INFINITY, what: "the sandbox's name", complete: "sandboxes" },
  options: [{ name: "timeout", value: "TIME", help: "give up after that time" }, ...COMMON_OPTIONS],
  exit: "plain",
  notes: [
    "Its processors stand still: it keeps its memory, and uses no processor time. smolvm resume, or start, lets it go on. Pausing what is paused is fine. Prints the names.",
  ],
  examples: ["smolvm pause box"],
};

function pauseCommand(io: Io, args: Arguments): Promise<Outcome> {
  return changeEach(io, args, async (vm, limits) => {
    io.onProgress({ stage: `pause ${vm.name}`, message: `pausing ${vm.name}` });
    await vm.pause(limits);
  });
}

export const pause: Command = { spec, run: pauseCommand };
