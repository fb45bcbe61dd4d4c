import { DEFAULT_IMAGE } from "../../config/defaults.ts";
import { ensurePaths, processPaths } from "../../host/files/paths.ts";
import { buildImage } from "../../images/build.ts";
import { Deadline } from "../../util/deadline.ts";
import { timeoutOption } from "../args/duration.ts";
import { ARCH_OPTION, parseArch } from "../args/image.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import { finishInGuest } from "../guest/finish-image.ts";
import type { Io } from "../io.ts";
import { formatBytes } from "../render/units.ts";
import { imageData } from "./image-ls.ts";

const spec: CommandSpec = {
  name: "image build",
  usage: "[OPTIONS] [NAME]",
  operands: { min: 0, max: 1, what: "the image's name" },
  options: [
    ARCH_OPTION,
    { name: "force", short: "f", help: "build again even if it is there, for newer packages" },
    { name: "mirror", value: "URL", help: "Debian archive to take packages from" },
    { name: "timeout", value: "TIME", help: "give up after that time" },
    ...COMMON_OPTIONS,
  ],
  exit: "plain",
  notes: [
    "Without a name it builds the default image, debian. An image that is there already is left as it is.",
    "For another architecture than this machine's, Debian's packages are configured in an emulated sandbox; that takes some minutes.",
  ],
  examples: ["smolvm image build", "smolvm image build debian --force"],
};

async function imageBuildCommand(io: Io, args: Arguments): Promise<Outcome> {
  const name = args.operands[0] ?? DEFAULT_IMAGE;
  const arch = parseArch(args.value("arch"));
  const paths = processPaths();
  ensurePaths(paths);
  const { image, built } = await buildImage(paths, name, {
    arch,
    deadline: Deadline.of(`building the image '${name}'`, {
      timeoutMs: timeoutOption(args),
      signal: io.interrupts.signal,
      option: "--timeout",
    }),
    onProgress: io.onProgress,
    runInGuest: finishInGuest,
    force: args.flag("force"),
    mirror: args.value("mirror"),
  });
  const what = `${image.name} (${image.arch}, ${formatBytes(image.sizeBytes)}, ${image.digest.slice(0, 12)})`;
  io.note(built ? `built ${what}` : `${what} is there already; --force builds it again`);
  return { data: { ...imageData(image), built }, text: () => `${image.name}\n` };
}

export const imageBuild: Command = { spec, run: imageBuildCommand };
