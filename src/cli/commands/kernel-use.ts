import { processPaths } from "../../host/files/paths.ts";
import { useDebianKernel, useKernel } from "../../images/store/kernel-store.ts";
import { ARCH_OPTION, parseArch } from "../args/image.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import type { Io } from "../io.ts";

const spec: CommandSpec = {
  name: "image kernel use",
  usage: "[OPTIONS] NAME | debian",
  operands: { min: 1, max: 1, what: "the kernel's name", complete: "kernels" },
  options: [ARCH_OPTION, ...COMMON_OPTIONS],
  exit: "plain",
  notes: ["For new sandboxes: one that exists keeps the kernel with which it was created."],
  examples: ["smolvm image kernel use debian"],
};

async function kernelUseCommand(io: Io, args: Arguments): Promise<Outcome> {
  const name = args.operands[0]!;
  const dirs = processPaths();
  const arch = name === "debian" ? parseArch(args.value("arch")) : (await useKernel(dirs, name)).arch;
  if (name === "debian") await useDebianKernel(dirs, arch);
  io.note(`new sandboxes for ${arch} boot ${name === "debian" ? "their image's own kernel" : name}`);
  return { data: { name, arch }, text: () => `${name}\n` };
}

export const kernelUse: Command = { spec, run: kernelUseCommand };
