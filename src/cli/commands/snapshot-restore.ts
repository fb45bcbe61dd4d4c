import { SmolVM } from "../../smolvm.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import { OWN_OPTIONS, ownOptions } from "../args/own-options.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import type { Io } from "../io.ts";

const spec: CommandSpec = {
  name: "snapshot restore",
  usage: "[OPTIONS] SNAPSHOT",
  operands: { min: 1, max: 1, what: "the snapshot's name", complete: "snapshots" },
  options: [
    ...OWN_OPTIONS,
    { name: "disk-only", help: "boot with its disk, and leave its memory" },
    ...COMMON_OPTIONS,
  ],
  exit: "plain",
  notes: [
    "Makes a new sandbox that goes on where the snapshot was taken, as often as you like. What ran in it goes on, and has a machine id, a host name and random numbers of its own. Prints the sandbox's name. It outlives this command.",
  ],
  examples: [
    "smolvm snapshot restore before-upgrade",
    "smolvm snapshot restore --name try-2 --ttl 1h before-upgrade",
  ],
};

async function snapshotRestoreCommand(io: Io, args: Arguments): Promise<Outcome> {
  const snapshot = args.operands[0]!;
  io.onProgress({ stage: "restore", message: `restoring ${snapshot}` });
  const vm = await SmolVM.restore(snapshot, {
    ...ownOptions(args),
    diskOnly: args.flag("disk-only"),
    signal: io.interrupts.signal,
  });
  const info = await vm.info();
  await vm[Symbol.asyncDispose]();
  return { data: info, text: () => `${info.name}\n` };
}

export const snapshotRestore: Command = { spec, run: snapshotRestoreCommand };
