import { SmolVM } from "../../smolvm.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";

const spec: CommandSpec = {
  name: "gc",
  usage: "[OPTIONS]",
  operands: { min: 0, max: 0, what: "nothing" },
  options: COMMON_OPTIONS,
  exit: "plain",
  notes: [
    "Every command clears up what it comes across; this looks everywhere.",
    "Running sandboxes, stopped ones and images are kept.",
  ],
  examples: ["smolvm gc"],
};

async function gcCommand(): Promise<Outcome> {
  const garbage = await SmolVM.gc();
  return {
    data: garbage,
    text: () =>
      garbage.length === 0
        ? "Nothing was left behind.\n"
        : garbage.map(({ kind, what }) => `${kind}: ${what}\n`).join(""),
  };
}

export const gc: Command = { spec, run: gcCommand };
