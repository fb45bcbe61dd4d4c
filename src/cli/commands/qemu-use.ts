import { processPaths } from "../../host/files/paths.ts";
import { useDistributionQemu, useQemu } from "../../images/store/qemu-store.ts";
import { ARCH_OPTION, parseArch } from "../args/image.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import type { Io } from "../io.ts";

const spec: CommandSpec = {
  name: "qemu use",
  usage: "[OPTIONS] NAME | distribution",
  operands: { min: 1, max: 1, what: "the QEMU's name" },
  options: [ARCH_OPTION, ...COMMON_OPTIONS],
  exit: "plain",
  notes: [
    "For all that is started from then on. A full snapshot goes on only on the QEMU that it was taken on.",
  ],
  examples: ["smolvm qemu use distribution"],
};

async function qemuUseCommand(io: Io, args: Arguments): Promise<Outcome> {
  const name = args.operands[0]!;
  const dirs = processPaths();
  const distribution = name === "distribution";
  const arch = distribution ? parseArch(args.value("arch")) : (await useQemu(dirs, name)).arch;
  if (distribution) await useDistributionQemu(dirs, arch);
  io.note(`sandboxes for ${arch} are started with ${distribution ? "the installed QEMU" : name}`);
  return { data: { name, arch }, text: () => `${name}\n` };
}

export const qemuUse: Command = { spec, run: qemuUseCommand };
