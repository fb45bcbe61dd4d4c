import { processPaths } from "../../host/files/paths.ts";
import { tagImage } from "../../images/store/tag.ts";
import { ARCH_OPTION, parseArch } from "../args/image.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import type { Io } from "../io.ts";
import { imageData } from "./image-ls.ts";

const spec: CommandSpec = {
  name: "image tag",
  usage: "[OPTIONS] IMAGE NAME",
  operands: { min: 2, max: 2, what: "the image or its new name", complete: "images" },
  options: [ARCH_OPTION, ...COMMON_OPTIONS],
  exit: "plain",
  notes: ["NAME is a plain name (mine) or one as in a registry (ghcr.io/me/mine:1). Prints it."],
  examples: ["smolvm image tag python:3.12 py", "smolvm image tag py ghcr.io/me/py:1"],
};

async function imageTagCommand(_io: Io, args: Arguments): Promise<Outcome> {
  const [from, to] = args.operands as [string, string];
  const { image } = await tagImage(processPaths(), from, to, parseArch(args.value("arch")));
  return { data: imageData(image), text: () => `${image.name}\n` };
}

export const imageTag: Command = { spec, run: imageTagCommand };
