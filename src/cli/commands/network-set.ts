import { SmolVM } from "../../smolvm.ts";
import { COMMON_OPTIONS, RULE_OPTIONS } from "../args/options.ts";
import { usage } from "../args/parse.ts";
import { parseRules } from "../args/rules.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import type { Io } from "../io.ts";

const spec: CommandSpec = {
  name: "network set",
  usage: "[OPTIONS] NAME",
  operands: { min: 1, max: 1, what: "the sandbox's name", complete: "sandboxes" },
  options: [...RULE_OPTIONS, { name: "nothing", help: "no rules: it reaches nothing" }, ...COMMON_OPTIONS],
  exit: "plain",
  notes: [
    "Replaces the rules of a sandbox with --network restricted, all of them: at once for new connections, within a second for those that there are, which are reset if they are allowed no more. Another kind of network is for another sandbox.",
  ],
  examples: [
    "smolvm network set box --allow pypi.org --allow '*.pythonhosted.org'",
    "smolvm network set box --allow '*' --deny '*:25'",
    "smolvm network set box --nothing",
  ],
};

async function setCommand(_io: Io, args: Arguments): Promise<Outcome> {
  const [name] = args.operands as [string];
  const { allow, deny } = parseRules(args);
  if (args.flag("nothing") !== (allow.length === 0 && deny.length === 0))
    throw usage(
      spec,
      args.flag("nothing") ? "--nothing excludes rules" : "there are no rules",
      `Say which: smolvm network set ${name} --allow example.com, or --nothing`,
    );
  const vm = await SmolVM.get(name);
  await vm.network.set({ allow, deny });
  return { data: { name: vm.name, allow, deny } };
}

export const networkSet: Command = { spec, run: setCommand };
