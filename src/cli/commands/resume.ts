import { COMMON_OPTIONS } from "../args/options.ts";
import type { Arguments } from "../arguments.ts";
import { changeEach } from "../change-each.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import type { Io } from "../io.ts";

const spec: CommandSpec = {
  name: "resume",
  usage: "[OPTIONS] NAME...",
  operands: { min: 1, max: Number.POSITIVE_INFINITY, what: "the sandbox's name", complete: "sandboxes" },
  options: [{ name: "timeout", value: "TIME", help: "give up after that time" }, ...COMMON_OPTIONS],
  exit: "plain",
  notes: ["Fine for one that runs. Prints the names."],
  examples: ["smolvm resume box"],
};

function resumeCommand(io: Io, args: Arguments): Promise<Outcome> {
  return changeEach(io, args, async (vm, limits) => {
    io.onProgress({ stage: `resume ${vm.name}`, message: `resuming ${vm.name}` });
    await vm.resume(limits);
  });
}

export const resume: Command = { spec, run: resumeCommand };
