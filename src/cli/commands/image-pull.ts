import { ensurePaths, processPaths } from "../../host/files/paths.ts";
import { pullNamed } from "../../images/boot/pull-image.ts";
import { Deadline } from "../../util/deadline.ts";
import { timeoutOption } from "../args/duration.ts";
import { ARCH_OPTION, parseArch } from "../args/image.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import type { Io } from "../io.ts";
import { formatBytes } from "../render/units.ts";
import { imageData } from "./image-ls.ts";

const spec: CommandSpec = {
  name: "image pull",
  usage: "[OPTIONS] IMAGE",
  operands: { min: 1, max: 1, what: "the image" },
  options: [
    ARCH_OPTION,
    { name: "insecure", help: "the registry may speak plain HTTP; without it only one on this machine" },
    { name: "timeout", value: "TIME", help: "give up after that time" },
    ...COMMON_OPTIONS,
  ],
  exit: "plain",
  notes: [
    "IMAGE is python:3.12, ghcr.io/owner/name:tag, localhost:5000/name@sha256:..., oci:DIRECTORY[:TAG] or docker-archive:FILE. Without a registry it is Docker's.",
    "Logins are those of smolvm image login, docker login and podman login. What was downloaded before a pull was cut off is not downloaded again.",
  ],
  examples: [
    "smolvm image pull python:3.12",
    "smolvm image pull oci:./layout:latest",
    "smolvm image pull docker-archive:saved.tar",
  ],
};

async function imagePullCommand(io: Io, args: Arguments): Promise<Outcome> {
  const text = args.operands[0]!;
  const paths = processPaths();
  ensurePaths(paths);
  const { image, pulled } = await pullNamed(paths, text, {
    arch: parseArch(args.value("arch")),
    insecure: args.flag("insecure"),
    deadline: Deadline.of(`pulling '${text}'`, {
      timeoutMs: timeoutOption(args),
      signal: io.interrupts.signal,
      option: "--timeout",
    }),
    onProgress: io.onProgress,
  });
  const what = `${image.name} (${image.arch}, ${formatBytes(image.sizeBytes)}, ${image.origin?.manifest.slice(0, 19)})`;
  io.note(pulled ? `pulled ${what}` : `${what} is there already`);
  return { data: { ...imageData(image), pulled }, text: () => `${image.name}\n` };
}

export const imagePull: Command = { spec, run: imagePullCommand };
