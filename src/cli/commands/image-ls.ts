import { processPaths } from "../../host/files/paths.ts";
import type { Image } from "../../images/store/image.ts";
import { listImages } from "../../images/store/store.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import type { Io } from "../io.ts";
import { renderTable } from "../render/table.ts";
import { formatBytes } from "../render/units.ts";

const spec: CommandSpec = {
  name: "image ls",
  usage: "[OPTIONS]",
  operands: { min: 0, max: 0, what: "nothing" },
  options: COMMON_OPTIONS,
  exit: "plain",
  notes: ["With --quiet only the names, one a line."],
  examples: ["smolvm image ls"],
};

async function imageLsCommand(io: Io): Promise<Outcome> {
  const images = await listImages(processPaths());
  if (images.length === 0) io.note("No images yet. Build the default one: smolvm image build");
  return {
    data: images.map(imageData),
    text: () => (io.quiet ? images.map((image) => `${image.name}\n`).join("") : imageTable(images)),
  };
}

/** What --json tells of an image: all but the kernel's modules, which are nobody's business outside. Pure. */
export function imageData({ modules: _, ...image }: Image): Omit<Image, "modules"> {
  return image;
}

/** The table of images. Pure. */
export function imageTable(images: readonly Image[]): string {
  return renderTable(
    [
      { head: "NAME" },
      { head: "ARCH" },
      { head: "DIGEST" },
      { head: "KERNEL" },
      { head: "SIZE", align: "right" },
      { head: "CREATED" },
    ],
    images.map((image) => [
      image.name,
      image.arch,
      image.digest.slice(0, 12),
      image.kernelVersion,
      formatBytes(image.sizeBytes),
      image.createdAt.slice(0, 16).replace("T", " "),
    ]),
  );
}

export const imageLs: Command = { spec, run: imageLsCommand };
