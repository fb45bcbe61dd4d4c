import { resolve } from "node:path";
import { processPaths } from "../../host/files/paths.ts";
import { parseReference } from "../../images/oci/reference.ts";
import { saveArchive, saveLayout } from "../../images/save.ts";
import { Deadline } from "../../util/deadline.ts";
import { timeoutOption } from "../args/duration.ts";
import { ARCH_OPTION, parseArch } from "../args/image.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import { fileToWrite } from "../args/written-file.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import { ownLayers } from "../guest/own-layers.ts";
import type { Io } from "../io.ts";

const spec: CommandSpec = {
  name: "image save",
  usage: "[OPTIONS] IMAGE FILE | oci:DIRECTORY[:TAG]",
  operands: { min: 2, max: 2, what: "the image or the file" },
  options: [
    ARCH_OPTION,
    { name: "timeout", value: "TIME", help: "give up after that time" },
    ...COMMON_OPTIONS,
  ],
  exit: "plain",
  notes: [
    "FILE is an archive for docker load, podman load and skopeo; oci:DIRECTORY a directory in the OCI layout. It is the image as it was pulled, byte for byte. Of an image of smolvm's own (debian) one layer is made first, in a sandbox, and kept.",
  ],
  examples: ["smolvm image save python:3.12 python.tar", "smolvm image save python:3.12 oci:./layout:3.12"],
};

async function imageSaveCommand(io: Io, args: Arguments): Promise<Outcome> {
  const [text, to] = args.operands as [string, string];
  const arch = parseArch(args.value("arch"));
  const deadline = Deadline.of(`saving '${text}'`, {
    timeoutMs: timeoutOption(args),
    signal: io.interrupts.signal,
    option: "--timeout",
  });
  const own = await ownLayers(text, { arch, deadline, onProgress: io.onProgress });
  io.onProgress({ stage: "save", message: `saving ${text}` });
  const target = to.startsWith("oci:") ? parseReference(to) : undefined;
  if (target?.kind === "oci") {
    const directory = resolve(target.directory);
    const { name, manifest } = await saveLayout(processPaths(), text, {
      arch,
      directory,
      tag: target.tag ?? "latest",
      deadline,
      own,
    });
    return { data: { name, path: directory, manifest: manifest.digest }, text: () => `${to}\n` };
  }
  const file = resolve(fileToWrite(to.replace(/^docker-archive:/, "")));
  const { name, manifest } = await saveArchive(processPaths(), text, { arch, file, deadline, own });
  return { data: { name, path: file, manifest: manifest.digest }, text: () => `${to}\n` };
}

export const imageSave: Command = { spec, run: imageSaveCommand };
