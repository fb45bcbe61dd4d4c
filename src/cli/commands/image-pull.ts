import { ensurePaths, processPaths } from "../../host/files/paths.ts";
import { pullNamed } from "../../images/boot/pull-image.ts";
import { TRANSFER_OPTIONS, transferOptions } from "../args/registry.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import type { Io } from "../io.ts";
import { formatBytes } from "../render/units.ts";
import { imageData } from "./image-ls.ts";

const spec: CommandSpec = {
  name: "image pull",
  usage: "[OPTIONS] IMAGE",
  operands: { min: 1, max: 1, what: "the image" },
  options: TRANSFER_OPTIONS,
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
  const { image, pulled } = await pullNamed(paths, text, transferOptions(io, args, `pulling '${text}'`));
  const what = `${image.name} (${image.arch}, ${formatBytes(image.sizeBytes)}, ${image.origin?.manifest.slice(0, 19)})`;
  io.note(pulled ? `pulled ${what}` : `${what} is there already`);
  return { data: { ...imageData(image), pulled }, text: () => `${image.name}\n` };
}

export const imagePull: Command = { spec, run: imagePullCommand };
