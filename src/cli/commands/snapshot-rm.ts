import { SmolVM } from "../../smolvm.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import { changeEachName } from "../each.ts";
import type { Io } from "../io.ts";

const spec: CommandSpec = {
  name: "snapshot rm",
  usage: "[OPTIONS] SNAPSHOT...",
  operands: { min: 1, max: Number.POSITIVE_INFINITY, what: "the snapshot's name", complete: "snapshots" },
  options: COMMON_OPTIONS,
  exit: "plain",
  notes: [
    "Sandboxes that were restored from it keep what they have. One that others are kept as the difference to goes after those. Prints the names.",
  ],
  examples: ["smolvm snapshot rm before-upgrade"],
};

function snapshotRmCommand(io: Io, args: Arguments): Promise<Outcome> {
  return changeEachName(io, args.operands, async (name) => {
    await SmolVM.snapshots.delete(name);
    return { name, removed: true };
  });
}

export const snapshotRm: Command = { spec, run: snapshotRmCommand };
