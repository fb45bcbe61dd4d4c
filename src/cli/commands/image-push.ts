import { processPaths } from "../../host/files/paths.ts";
import { pushImage } from "../../images/push.ts";
import { TRANSFER_OPTIONS, transferOptions } from "../args/registry.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import { ownLayers } from "../guest/own-layers.ts";
import type { Io } from "../io.ts";
import { formatBytes } from "../render/units.ts";

const spec: CommandSpec = {
  name: "image push",
  usage: "[OPTIONS] IMAGE [NAME]",
  operands: { min: 1, max: 2, what: "the image", complete: "images" },
  options: TRANSFER_OPTIONS,
  exit: "plain",
  notes: [
    "NAME is where it goes, as ghcr.io/me/name:1; without it, where the image's own name says. It is the image as it was pulled, with the same digest; of an image of smolvm's own (debian) one layer is made first, in a sandbox, and kept. Layers that the registry has are not sent.",
  ],
  examples: [
    "smolvm image push python:3.12 ghcr.io/me/python:3.12",
    "smolvm image push localhost:5000/mine:1",
  ],
};

async function imagePushCommand(io: Io, args: Arguments): Promise<Outcome> {
  const [text, to] = args.operands as [string, string?];
  const options = transferOptions(io, args, `pushing '${text}'`);
  const own = await ownLayers(text, options);
  const pushed = await pushImage(processPaths(), text, { to, own, ...options });
  io.note(`pushed ${pushed.name} (${formatBytes(pushed.sentBytes)} sent, ${pushed.manifest.slice(0, 19)})`);
  return { data: pushed, text: () => `${pushed.name}@${pushed.manifest}\n` };
}

export const imagePush: Command = { spec, run: imagePushCommand };
