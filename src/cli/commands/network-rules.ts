import { SmolVM } from "../../smolvm.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import type { Io } from "../io.ts";

const spec: CommandSpec = {
  name: "network rules",
  usage: "[OPTIONS] NAME",
  operands: { min: 1, max: 1, what: "the sandbox's name", complete: "sandboxes" },
  options: [...COMMON_OPTIONS],
  exit: "plain",
  notes: ["Of a sandbox with --network restricted: what its connections may be for, one rule a line."],
  examples: ["smolvm network rules box"],
};

async function rulesCommand(_io: Io, args: Arguments): Promise<Outcome> {
  const vm = await SmolVM.get(args.operands[0]!);
  const rules = await vm.network.rules();
  const lines = [
    ...rules.deny.map((rule) => `deny   ${rule}\n`),
    ...rules.allow.map((rule) => `allow  ${rule}\n`),
  ];
  return { data: { name: vm.name, ...rules }, text: () => lines.join("") };
}

export const networkRules: Command = { spec, run: rulesCommand };
