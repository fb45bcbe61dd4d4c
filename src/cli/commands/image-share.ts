import { processPaths } from "../../host/files/paths.ts";
import { shareImage } from "../../images/store/store.ts";
import { Deadline } from "../../util/deadline.ts";
import { timeoutOption } from "../args/duration.ts";
import { ARCH_OPTION, parseArch } from "../args/image.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import { forEachName } from "../each.ts";
import type { Io } from "../io.ts";
import { imageData } from "./image-ls.ts";

const spec: CommandSpec = {
  name: "image share",
  usage: "[OPTIONS] NAME...",
  operands: { min: 1, max: Number.POSITIVE_INFINITY, what: "the image's name", complete: "images" },
  options: [
    ARCH_OPTION,
    { name: "timeout", value: "TIME", help: "give up after that time" },
    ...COMMON_OPTIONS,
  ],
  exit: "plain",
  notes: [
    "As root: gives an image of root's to all users of this machine, in /var/lib/smolvm/images, readable by everybody and written by nobody else. Each user's own image of the same name comes before it. Its files are read and compared first.",
    "It is taken back with: smolvm image rm --shared NAME",
  ],
  examples: ["sudo smolvm image pull python:3.12", "sudo smolvm image share python:3.12 debian"],
};

async function imageShareCommand(io: Io, args: Arguments): Promise<Outcome> {
  const arch = parseArch(args.value("arch"));
  const deadline = Deadline.of("sharing images", {
    timeoutMs: timeoutOption(args),
    signal: io.interrupts.signal,
    option: "--timeout",
  });
  const shared = await forEachName(args.operands, async (name) => {
    io.onProgress({ stage: "verify", message: `comparing hashes of ${name}` });
    return imageData(await shareImage(processPaths(), name, arch, deadline));
  });
  return { data: shared, text: () => shared.map(({ name }) => `${name}\n`).join("") };
}

export const imageShare: Command = { spec, run: imageShareCommand };
