import { DEFAULT_IMAGE } from "../../config/defaults.ts";
import { SmolVMError } from "../../errors.ts";
import { ensurePaths, processPaths } from "../../host/files/paths.ts";
import { buildImage } from "../../images/build.ts";
import { isOwnImage } from "../../images/store/reference.ts";
import { Deadline } from "../../util/deadline.ts";
import { timeoutOption } from "../args/duration.ts";
import { ARCH_OPTION, parseArch } from "../args/image.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import { finishInGuest } from "../guest/finish-image.ts";
import type { Io } from "../io.ts";
import { formatBytes } from "../render/units.ts";
import { buildFromFile, DOCKERFILE_OPTIONS } from "./image-build-file.ts";
import { imageData } from "./image-ls.ts";

const spec: CommandSpec = {
  name: "image build",
  usage: "[OPTIONS] [DIR | NAME]",
  operands: { min: 0, max: 1, what: "the directory, or the image's name" },
  options: [
    ...DOCKERFILE_OPTIONS,
    ARCH_OPTION,
    { name: "force", help: "of NAME: build again even if it is there, for newer packages" },
    { name: "mirror", value: "URL", help: "of NAME: Debian archive to take packages from" },
    { name: "timeout", value: "TIME", help: "give up after that time" },
    ...COMMON_OPTIONS,
  ],
  exit: "plain",
  notes: [
    "DIR has a Dockerfile, and what that copies. Each step is carried out in a sandbox, and what it changes becomes a layer; a step of which nothing has changed is taken from the cache (docs/builds.md).",
    "NAME is debian or minimal, smolvm's own images; without DIR and NAME it is the default image, debian. An image that is there already is left as it is. A directory of such a name is ./debian.",
    "For another architecture than this machine's, Debian's packages are configured in an emulated sandbox; that takes some minutes.",
  ],
  examples: [
    "smolvm image build -t mine .",
    "smolvm image build -t ghcr.io/me/mine:1 --build-arg VERSION=2 --target test .",
    "smolvm image build debian --force",
  ],
};

async function imageBuildCommand(io: Io, args: Arguments): Promise<Outcome> {
  const name = args.operands[0] ?? DEFAULT_IMAGE;
  const ofFile = DOCKERFILE_OPTIONS.filter((option) => args.flag(option.name));
  if (!isOwnImage(name)) {
    const other = ["arch", "force", "mirror"].find((option) => args.flag(option));
    if (other === undefined) return await buildFromFile(io, args, name);
    throw new SmolVMError("USAGE", `--${other} is for smolvm's own images, and '${name}' is a directory`, {
      hint:
        other === "arch"
          ? "Write --platform linux/arm64"
          : "Leave it out. To carry every step out: --no-cache",
    });
  }
  if (ofFile.length > 0) {
    throw new SmolVMError("USAGE", `--${ofFile[0]!.name} is for a Dockerfile, and no directory is given`, {
      hint: "Name the directory: smolvm image build -t NAME .",
    });
  }
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
