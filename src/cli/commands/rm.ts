import { SmolVMError } from "../../errors.ts";
import { SmolVM } from "../../smolvm.ts";
import { requireRemovable } from "../../vm/lifecycle/may-remove.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import { usage } from "../args/parse.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import { changeEachName } from "../each.ts";
import type { Io } from "../io.ts";

const spec: CommandSpec = {
  name: "rm",
  usage: "[OPTIONS] NAME... | --all",
  operands: { min: 0, max: Number.POSITIVE_INFINITY, what: "the sandbox's name", complete: "sandboxes" },
  options: [
    { name: "force", short: "f", help: "also those that run; with --all: without asking" },
    { name: "all", help: "every sandbox (asks first)" },
    { name: "dry-run", help: "only print what would be removed" },
    ...COMMON_OPTIONS,
  ],
  exit: "plain",
  notes: ["Prints the names."],
  examples: ["smolvm rm box", "smolvm rm -f box other", "smolvm rm --all --dry-run"],
};

async function rmCommand(io: Io, args: Arguments): Promise<Outcome> {
  const all = args.flag("all");
  const dryRun = args.flag("dry-run");
  if (all && args.operands.length > 0)
    throw usage(spec, `--all and the name '${args.operands[0]}' exclude each other`);
  if (!all && args.operands.length === 0) throw usage(spec, "the sandbox's name is missing");
  const force = args.flag("force");
  // Others may remove some of them in the meantime.
  const listed = new Map((all ? await SmolVM.list() : []).map((info) => [info.name, info]));
  const names = all ? [...listed.keys()] : args.operands;
  if (all && !force && !dryRun && names.length > 0 && !(await agreed(io, names))) {
    throw new SmolVMError("ABORTED", "nothing was removed");
  }
  if (dryRun) io.note(names.length === 0 ? "Nothing would be removed." : "Would be removed:");
  return await changeEachName(io, names, async (name) => {
    const known = listed.get(name);
    const vm = known ? SmolVM.from(known) : await SmolVM.get(name);
    if (dryRun) requireRemovable(await vm.info(), force || all);
    else await vm.delete({ force: force || all, signal: io.interrupts.signal });
    return { name: vm.name, id: vm.id, removed: !dryRun };
  });
}

/** Asks a person; where nobody can be asked, `-f` is needed. */
async function agreed(io: Io, names: readonly string[]): Promise<boolean> {
  const { canAsk, confirm } = await import("../terminal/confirm.ts");
  if (io.json || !canAsk()) {
    throw new SmolVMError("USAGE", "rm --all needs -f here, because nobody can be asked", {
      hint: "See what would go, then do it: smolvm rm --all --dry-run; smolvm rm --all -f",
    });
  }
  const what =
    names.length === 1 ? `the sandbox ${names[0]}` : `${names.length} sandboxes (${names.join(", ")})`;
  return await confirm(
    `Remove ${what} with all files in ${names.length === 1 ? "it" : "them"}?`,
    io.interrupts.signal,
  );
}

export const rm: Command = { spec, run: rmCommand };
