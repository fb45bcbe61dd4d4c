import { ensurePaths, processPaths } from "../../host/files/paths.ts";
import { buildKernel } from "../../images/kernel-build/build.ts";
import { Deadline } from "../../util/deadline.ts";
import { timeoutOption } from "../args/duration.ts";
import { ARCH_OPTION, parseArch } from "../args/image.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import type { Io } from "../io.ts";
import { kernelData } from "./kernel-ls.ts";

const spec: CommandSpec = {
  name: "image kernel build",
  usage: "[OPTIONS]",
  operands: { min: 0, max: 0, what: "nothing" },
  options: [
    ARCH_OPTION,
    { name: "force", short: "f", help: "build again even if it is there" },
    { name: "newest", help: "Debian's newest source of the series instead of the pinned one" },
    { name: "mirror", value: "URL", help: "Debian archive to take the source from" },
    { name: "timeout", value: "TIME", help: "give up after that time" },
    ...COMMON_OPTIONS,
  ],
  exit: "plain",
  notes: [
    "Takes 10 to 20 minutes, 140 MB of download and, while it runs, 3 GiB of disk.",
    "New sandboxes boot the kernel that was built; --kernel debian goes back for one, image kernel use debian for all.",
  ],
  examples: ["smolvm image kernel build", "smolvm image kernel build --arch aarch64"],
};

async function kernelBuildCommand(io: Io, args: Arguments): Promise<Outcome> {
  const arch = parseArch(args.value("arch"));
  const paths = processPaths();
  ensurePaths(paths);
  const { kernel, built } = await buildKernel(paths, {
    arch,
    deadline: Deadline.of("building the kernel", {
      timeoutMs: timeoutOption(args),
      signal: io.interrupts.signal,
      option: "--timeout",
    }),
    onProgress: io.onProgress,
    force: args.flag("force"),
    newest: args.flag("newest"),
    mirror: args.value("mirror"),
  });
  io.note(`${built ? "built" : "there already, and in use now:"} ${kernel.name}`);
  return { data: { ...kernelData(kernel), built }, text: () => `${kernel.name}\n` };
}

export const kernelBuild: Command = { spec, run: kernelBuildCommand };
