import { SmolVM } from "../../smolvm.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import { changeEachName } from "../each.ts";
import type { Io } from "../io.ts";

const spec: CommandSpec = {
  name: "pool rm",
  usage: "[OPTIONS] POOL...",
  operands: { min: 1, max: Number.POSITIVE_INFINITY, what: "the pool's name", complete: "pools" },
  options: COMMON_OPTIONS,
  exit: "plain",
  notes: ["Removes it with the sandboxes that wait in it; those that were taken stay. Prints the names."],
  examples: ["smolvm pool rm debian"],
};

function poolRmCommand(io: Io, args: Arguments): Promise<Outcome> {
  return changeEachName(io, args.operands, async (name) => {
    await SmolVM.pools.delete(name);
    return { name, removed: true };
  });
}

export const poolRm: Command = { spec, run: poolRmCommand };
