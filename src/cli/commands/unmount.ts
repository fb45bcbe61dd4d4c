import { SmolVM } from "../../smolvm.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import type { Io } from "../io.ts";

const spec: CommandSpec = {
  name: "unmount",
  usage: "[OPTIONS] NAME GUEST",
  operands: { min: 2, max: 2, what: "the sandbox's name and the directory in it", complete: "sandboxes" },
  options: [
    { name: "force", help: "also while something in the sandbox uses it: that has errors from then on" },
    ...COMMON_OPTIONS,
  ],
  exit: "plain",
  notes: ["Takes a directory or file of this machine away from a sandbox, now and for its later starts."],
  examples: ["smolvm unmount box /work"],
};

async function unmountCommand(io: Io, args: Arguments): Promise<Outcome> {
  const [name, guest] = args.operands as [string, string];
  const vm = await SmolVM.get(name);
  const force = args.flag("force");
  await vm.mounts.remove(guest, { ...(force ? { force } : {}), signal: io.interrupts.signal });
  return { data: { name: vm.name, guest } };
}

export const unmount: Command = { spec, run: unmountCommand };
