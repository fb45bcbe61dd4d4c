import { COMMON_OPTIONS, FIXED_OPTIONS, GDB_OPTION } from "../args/options.ts";
import { gdbNote, gdbPort } from "../args/sandbox-config.ts";
import type { Arguments } from "../arguments.ts";
import { changeEach } from "../change-each.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import type { Io } from "../io.ts";

const spec: CommandSpec = {
  name: "start",
  usage: "[OPTIONS] NAME...",
  operands: { min: 1, max: Number.POSITIVE_INFINITY, what: "the sandbox's name", complete: "sandboxes" },
  options: [
    { name: "timeout", value: "TIME", help: "give up after that time (default: 60s)" },
    GDB_OPTION,
    ...COMMON_OPTIONS,
  ],
  fixed: FIXED_OPTIONS,
  exit: "plain",
  notes: ["Starting what runs is fine. Prints the names."],
  examples: ["smolvm start box", "smolvm start --gdb 1234 box"],
};

async function startCommand(io: Io, args: Arguments): Promise<Outcome> {
  const port = gdbPort(args);
  const outcome = await changeEach(io, args, (vm, limits) =>
    vm.start({ ...limits, gdbPort: port, onProgress: io.onProgress }),
  );
  if (port !== undefined) io.note(gdbNote(port));
  return outcome;
}

export const start: Command = { spec, run: startCommand };
