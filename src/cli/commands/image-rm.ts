import { processPaths } from "../../host/files/paths.ts";
import { removableImage, removeImage, unshareImage } from "../../images/store/store.ts";
import { usersOfImage } from "../../users-of-images.ts";
import { ARCH_OPTION, parseArch } from "../args/image.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import { usage } from "../args/parse.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import { forEachName } from "../each.ts";
import type { Io } from "../io.ts";

const spec: CommandSpec = {
  name: "image rm",
  usage: "[OPTIONS] NAME...",
  operands: { min: 1, max: Number.POSITIVE_INFINITY, what: "the image's name", complete: "images" },
  options: [
    ARCH_OPTION,
    { name: "shared", help: "from all users of this machine, as root; your own of that name stays" },
    { name: "dry-run", help: "only print what would be removed" },
    ...COMMON_OPTIONS,
  ],
  exit: "plain",
  notes: ["An image that a sandbox uses is not removed. Prints the names."],
  examples: ["smolvm image rm debian"],
};

async function imageRmCommand(io: Io, args: Arguments): Promise<Outcome> {
  const arch = parseArch(args.value("arch"));
  const dryRun = args.flag("dry-run");
  const dirs = processPaths();
  if (args.flag("shared") && dryRun)
    throw usage(spec, "--shared and --dry-run exclude each other", "See what there is: smolvm image ls");
  const removed = await forEachName(args.operands, async (name) => {
    const image = args.flag("shared")
      ? await unshareImage(dirs, name, arch)
      : await (dryRun ? removableImage : removeImage)(dirs, name, arch, usersOfImage);
    return { name, arch, digest: image.digest, sizeBytes: image.sizeBytes, removed: !dryRun };
  });
  if (dryRun) io.note("Would be removed:");
  return { data: removed, text: () => removed.map((image) => `${image.name}\n`).join("") };
}

export const imageRm: Command = { spec, run: imageRmCommand };
