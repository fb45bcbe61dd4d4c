import { resolve } from "node:path";
import { ensurePaths, processPaths } from "../../host/files/paths.ts";
import { loadArchive } from "../../images/boot/pull-image.ts";
import { Deadline } from "../../util/deadline.ts";
import { timeoutOption } from "../args/duration.ts";
import { ARCH_OPTION, parseArch } from "../args/image.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import type { Io } from "../io.ts";
import { imageData } from "./image-ls.ts";

const spec: CommandSpec = {
  name: "image load",
  usage: "[OPTIONS] FILE",
  operands: { min: 1, max: 1, what: "the file" },
  options: [
    { name: "name", value: "NAME", help: "what the image is to be called (default: as where it was saved)" },
    ARCH_OPTION,
    { name: "timeout", value: "TIME", help: "give up after that time" },
    ...COMMON_OPTIONS,
  ],
  exit: "plain",
  notes: [
    "FILE is what docker save, podman save or smolvm image save has written, of one image. Prints its names.",
  ],
  examples: ["smolvm image load saved.tar", "smolvm image load --name mine saved.tar"],
};

async function imageLoadCommand(io: Io, args: Arguments): Promise<Outcome> {
  const paths = processPaths();
  ensurePaths(paths);
  const { image, names } = await loadArchive(paths, resolve(args.operands[0]!), {
    name: args.value("name"),
    arch: parseArch(args.value("arch")),
    deadline: Deadline.of(`loading '${args.operands[0]}'`, {
      timeoutMs: timeoutOption(args),
      signal: io.interrupts.signal,
      option: "--timeout",
    }),
    onProgress: io.onProgress,
  });
  return { data: { ...imageData(image), names }, text: () => names.map((name) => `${name}\n`).join("") };
}

export const imageLoad: Command = { spec, run: imageLoadCommand };
