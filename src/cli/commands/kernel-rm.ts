import { processPaths } from "../../host/files/paths.ts";
import { removeKernel } from "../../images/store/kernel-store.ts";
import { usersOfImages } from "../../users-of-images.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import { forEachName } from "../each.ts";
import type { Io } from "../io.ts";

const spec: CommandSpec = {
  name: "image kernel rm",
  usage: "[OPTIONS] NAME...",
  operands: { min: 1, max: Number.POSITIVE_INFINITY, what: "the kernel's name", complete: "kernels" },
  options: COMMON_OPTIONS,
  exit: "plain",
  notes: ["A kernel that a sandbox boots is not removed. Prints the names."],
  examples: ["smolvm image kernel rm NAME"],
};

async function kernelRmCommand(_io: Io, args: Arguments): Promise<Outcome> {
  const users = async (path: string): Promise<string[]> =>
    (await usersOfImages()).filter((user) => user.kernelPath === path).map(({ what }) => what);
  const removed = await forEachName(args.operands, async (name) => {
    await removeKernel(processPaths(), name, users);
    return { name, removed: true };
  });
  return { data: removed, text: () => removed.map(({ name }) => `${name}\n`).join("") };
}

export const kernelRm: Command = { spec, run: kernelRmCommand };
