import { SmolVMError } from "../../errors.ts";
import { SmolVM } from "../../smolvm.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import { OWN_OPTIONS, ownOptions } from "../args/own-options.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import type { Io } from "../io.ts";

const spec: CommandSpec = {
  name: "fork",
  usage: "[OPTIONS] NAME",
  operands: { min: 1, max: 1, what: "the sandbox's name", complete: "sandboxes" },
  options: [
    { name: "count", short: "n", value: "N", help: "how many children, 1-1000 (default: 1)" },
    ...OWN_OPTIONS,
    ...COMMON_OPTIONS,
  ],
  exit: "plain",
  notes: [
    "Makes new sandboxes that go on from where this one is now, memory and processes included; this one goes on as well. With --count above 1, --name gets -1, -2, ... behind it. Prints the children's names. They outlive this command.",
  ],
  examples: ["smolvm fork box", "smolvm fork --count 3 --name try box"],
};

async function forkCommand(io: Io, args: Arguments): Promise<Outcome> {
  const parent = await SmolVM.get(args.operands[0]!);
  const count = args.value("count") ?? "1";
  if (!/^\d{1,9}$/.test(count)) {
    throw new SmolVMError("USAGE", `--count: '${count}' is not a whole number`, { hint: "Write --count 3" });
  }
  io.onProgress({ stage: "fork", message: `forking ${parent.name}` });
  const children = await parent.fork({
    ...ownOptions(args),
    count: Number(count),
    signal: io.interrupts.signal,
  });
  const infos = await Promise.all(children.map((child) => child.info()));
  await Promise.all(children.map((child) => child[Symbol.asyncDispose]()));
  return { data: infos, text: () => infos.map(({ name }) => `${name}\n`).join("") };
}

export const fork: Command = { spec, run: forkCommand };
