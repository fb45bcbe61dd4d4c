import { SmolVM } from "../../smolvm.ts";
import { timeoutOption } from "../args/duration.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import type { Io } from "../io.ts";

const spec: CommandSpec = {
  name: "snapshot create",
  usage: "[OPTIONS] NAME SNAPSHOT",
  operands: { min: 2, max: 2, what: "the sandbox's name or the snapshot's", complete: "sandboxes" },
  options: [
    { name: "disk-only", help: "save its disk alone; it need not run" },
    { name: "timeout", value: "TIME", help: "give up after that time" },
    ...COMMON_OPTIONS,
  ],
  exit: "plain",
  notes: [
    "Saves memory, processes and disk as they are at one moment; the sandbox goes on. A snapshot holds what the sandbox holds, secrets too; its files are readable for you alone. Prints the snapshot's name.",
  ],
  examples: [
    "smolvm snapshot create box before-upgrade",
    "smolvm snapshot create --disk-only box disk-of-today",
  ],
};

async function snapshotCreateCommand(io: Io, args: Arguments): Promise<Outcome> {
  const [name, snapshot] = args.operands as [string, string];
  const vm = await SmolVM.get(name);
  io.onProgress({ stage: "snapshot", message: `saving ${vm.name}` });
  const info = await vm.snapshot(snapshot, {
    kind: args.flag("disk-only") ? "disk" : "full",
    timeoutMs: timeoutOption(args),
    signal: io.interrupts.signal,
  });
  return { data: info, text: () => `${info.name}\n` };
}

export const snapshotCreate: Command = { spec, run: snapshotCreateCommand };
