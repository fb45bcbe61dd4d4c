import { resolve } from "node:path";
import { SmolVM } from "../../smolvm.ts";
import { timeoutOption } from "../args/duration.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import type { Io } from "../io.ts";

const spec: CommandSpec = {
  name: "snapshot import",
  usage: "[OPTIONS] FILE",
  operands: { min: 1, max: 1, what: "the file" },
  options: [
    {
      name: "name",
      value: "NAME",
      help: "name of the snapshot (default: the one that it was exported with)",
    },
    {
      name: "trust",
      help: "take its memory too: whoever made the file decides what runs, and what the VMM reads",
    },
    { name: "timeout", value: "TIME", help: "give up after that time" },
    ...COMMON_OPTIONS,
  ],
  exit: "plain",
  notes: [
    "Verifies all of it before anything is a snapshot. Its image has to be here: smolvm image import. Prints the snapshot's name.",
  ],
  examples: ["smolvm snapshot import before-upgrade.tar.zst", "smolvm snapshot import --trust mine.tar.zst"],
};

async function snapshotImportCommand(io: Io, args: Arguments): Promise<Outcome> {
  const file = args.operands[0]!;
  const name = args.value("name");
  io.onProgress({ stage: "import", message: `taking in ${file}` });
  const info = await SmolVM.snapshots.import(resolve(file), {
    ...(name === undefined ? {} : { name }),
    trust: args.flag("trust"),
    timeoutMs: timeoutOption(args),
    signal: io.interrupts.signal,
  });
  return { data: info, text: () => `${info.name}\n` };
}

export const snapshotImport: Command = { spec, run: snapshotImportCommand };
