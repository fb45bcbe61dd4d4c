import { SmolVM } from "../../smolvm.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import type { Io } from "../io.ts";
import { changeLines } from "./diff.ts";

const spec: CommandSpec = {
  name: "apply",
  usage: "[OPTIONS] NAME GUEST [PATH...]",
  operands: {
    min: 2,
    max: Number.POSITIVE_INFINITY,
    what: "the sandbox's name and the directory in it",
    complete: "sandboxes",
  },
  options: COMMON_OPTIONS,
  exit: "plain",
  notes: [
    "Does to a directory of this machine what a sandbox has done to its overlay of it: all of it, or what was changed at each PATH and below. Prints what was done. Symlinks of this machine are not followed.",
  ],
  examples: ["smolvm diff box /work", "smolvm apply box /work", "smolvm apply box /work src/main.ts"],
};

async function applyCommand(io: Io, args: Arguments): Promise<Outcome> {
  const [name, guest, ...paths] = args.operands as [string, string, ...string[]];
  const changes = await (await SmolVM.get(name)).mounts.apply(guest, {
    ...(paths.length === 0 ? {} : { paths }),
    signal: io.interrupts.signal,
  });
  return { data: changes, text: () => changeLines(changes) };
}

export const apply: Command = { spec, run: applyCommand };
