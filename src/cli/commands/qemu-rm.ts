import { processPaths } from "../../host/files/paths.ts";
import { removeQemu } from "../../images/store/qemu-store.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import { forEachName } from "../each.ts";
import type { Io } from "../io.ts";

const spec: CommandSpec = {
  name: "qemu rm",
  usage: "[OPTIONS] NAME...",
  operands: { min: 1, max: Number.POSITIVE_INFINITY, what: "the QEMU's name" },
  options: COMMON_OPTIONS,
  exit: "plain",
  notes: ["Sandboxes that run on it go on until they stop. Prints the names."],
  examples: ["smolvm qemu rm NAME"],
};

async function qemuRmCommand(_io: Io, args: Arguments): Promise<Outcome> {
  const removed = await forEachName(args.operands, async (name) => {
    await removeQemu(processPaths(), name);
    return { name, removed: true };
  });
  return { data: removed, text: () => removed.map(({ name }) => `${name}\n`).join("") };
}

export const qemuRm: Command = { spec, run: qemuRmCommand };
