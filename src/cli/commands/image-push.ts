import { processPaths } from "../../host/files/paths.ts";
import { pushImage } from "../../images/push.ts";
import { Deadline } from "../../util/deadline.ts";
import { timeoutOption } from "../args/duration.ts";
import { ARCH_OPTION, parseArch } from "../args/image.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import type { Io } from "../io.ts";
import { formatBytes } from "../render/units.ts";

const spec: CommandSpec = {
  name: "image push",
  usage: "[OPTIONS] IMAGE [NAME]",
  operands: { min: 1, max: 2, what: "the image", complete: "images" },
  options: [
    ARCH_OPTION,
    { name: "insecure", help: "the registry may speak plain HTTP; without it only one on this machine" },
    { name: "timeout", value: "TIME", help: "give up after that time" },
    ...COMMON_OPTIONS,
  ],
  exit: "plain",
  notes: [
    "NAME is where it goes, as ghcr.io/me/name:1; without it, where the image's own name says. It is the image as it was pulled, with the same digest. Layers that the registry has are not sent.",
  ],
  examples: [
    "smolvm image push python:3.12 ghcr.io/me/python:3.12",
    "smolvm image push localhost:5000/mine:1",
  ],
};

async function imagePushCommand(io: Io, args: Arguments): Promise<Outcome> {
  const [text, to] = args.operands as [string, string?];
  const pushed = await pushImage(processPaths(), text, {
    to,
    arch: parseArch(args.value("arch")),
    insecure: args.flag("insecure"),
    deadline: Deadline.of(`pushing '${text}'`, {
      timeoutMs: timeoutOption(args),
      signal: io.interrupts.signal,
      option: "--timeout",
    }),
    onProgress: io.onProgress,
  });
  io.note(`pushed ${pushed.name} (${formatBytes(pushed.sentBytes)} sent, ${pushed.manifest.slice(0, 19)})`);
  return { data: pushed, text: () => `${pushed.name}@${pushed.manifest}\n` };
}

export const imagePush: Command = { spec, run: imagePushCommand };
