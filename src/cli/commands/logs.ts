import { SmolVMError } from "../../errors.ts";
import { SmolVM } from "../../smolvm.ts";
import type { Arguments } from "../args/arguments.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import type { Io } from "../io.ts";
import { visibleLines } from "../render/visible.ts";

const spec: CommandSpec = {
  name: "logs",
  usage: "[OPTIONS] NAME",
  operands: { min: 1, max: 1, what: "the sandbox's name" },
  options: [{ name: "tail", short: "n", value: "LINES", help: "only the last lines" }, ...COMMON_OPTIONS],
  exit: "plain",
  notes: [
    "The console holds what the guest's kernel and smolvm's agent say, about the last MiB of it. What commands print goes to whoever runs them. On a terminal control characters are made visible.",
  ],
  examples: ["smolvm logs box", "smolvm logs --tail 20 box"],
};

async function logsCommand(io: Io, args: Arguments): Promise<Outcome> {
  const tail = args.value("tail");
  if (tail !== undefined && !/^\d{1,9}$/.test(tail)) {
    throw new SmolVMError("USAGE", `--tail: '${tail}' is not a number of lines`, { hint: "Write --tail 20" });
  }
  const vm = await SmolVM.get(args.operands[0]!);
  const log = await vm.logs(tail === undefined ? {} : { tailLines: Number(tail) });
  return { data: { log }, text: () => (io.stdout.isTTY ? visibleLines(log) : log) };
}

export const logs: Command = { spec, run: logsCommand };
