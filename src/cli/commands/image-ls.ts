import { processPaths } from "../../host/files/paths.ts";
import { imageSettings } from "../../images/settings.ts";
import { listDownloads } from "../../images/store/downloads.ts";
import type { Image } from "../../images/store/image.ts";
import type { ImageDirs } from "../../images/store/layout.ts";
import { isStageImage } from "../../images/store/reference.ts";
import { listImages, unnamedImages } from "../../images/store/store.ts";
import { type ImageUsage, imagesUsage } from "../../images/store/usage.ts";
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
  notes: [
    "SIZE is what its files hold, DISK what they take of the disk, and SHARED what of that other images have as well. An image whose name another has got is <none>. With --quiet only the names, one a line.",
  ],
  examples: ["smolvm image ls"],
};

/** What is kept is called. */
const KEPT = {
  download: ["download of a registry", "downloads of registries"],
  layer: ["layer or manifest made here", "layers and manifests made here"],
  cache: ["cache of RUN --mount", "caches of RUN --mount"],
} as const;

/** What stands where a name would. */
const NO_NAME = "<none>";

async function imageLsCommand(io: Io): Promise<Outcome> {
  const paths = processPaths();
  const all = await listImages(paths);
  const named = all.filter(({ name }) => !isStageImage(name));
  const unnamed = (await unnamedImages(paths)).map((image) => ({ ...image, name: NO_NAME }));
  const images = [...named, ...unnamed];
  if (images.length === 0) io.note("No images yet. Build the default one: smolvm image build");
  const usage = await usageOf(paths);
  const downloads = await listDownloads(paths);
  if (downloads.length > 0) {
    const { downloadsMaxBytes, downloadsMaxFrom } = imageSettings();
    const total = downloads.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    const kinds = (["download", "layer", "cache"] as const).flatMap((kind) => {
      const some = downloads.filter((one) => one.kind === kind);
      const bytes = some.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
      const [one, many] = KEPT[kind];
      return some.length === 0
        ? []
        : `${some.length} ${some.length === 1 ? one : many} (${formatBytes(bytes)})`;
    });
    io.note(
      `Kept besides, to be used again: ${kinds.join(", ")}; ${formatBytes(total)} of at most ${formatBytes(downloadsMaxBytes)} (${downloadsMaxFrom}).`,
    );
  }
  if (unnamed.length > 0)
    io.note(
      `${unnamed.length === 1 ? "One image has" : `${unnamed.length} images have`} no name any more, as others have it: smolvm image prune removes what nothing uses.`,
    );
  if (all.length > named.length) {
    const total = all.reduce((sum, { name, sizeBytes }) => sum + (isStageImage(name) ? sizeBytes : 0), 0);
    io.note(`For builds ${all.length - named.length} images of stages are kept: ${formatBytes(total)}.`);
  }
  return {
    data: images.map((image) => ({ ...imageData(image), ...usage(image) })),
    text: () => (io.quiet ? named.map((image) => `${image.name}\n`).join("") : imageTable(images, usage)),
  };
}

/** What each image takes. */
async function usageOf(dirs: ImageDirs): Promise<(image: Image) => ImageUsage> {
  const own = await imagesUsage(dirs);
  const shared = dirs.sharedDir === undefined ? own : await imagesUsage({ cacheDir: dirs.sharedDir });
  return (image) => (image.shared ? shared : own).get(image.digest) ?? { diskBytes: 0, sharedBytes: 0 };
}

/** What --json tells of an image: all but the kernel's modules, which are nobody's business outside. Pure. */
export function imageData({ modules: _, ...image }: Image): Omit<Image, "modules"> {
  return image;
}

/** The table of images. Pure. */
export function imageTable(images: readonly Image[], usage: (image: Image) => ImageUsage): string {
  return renderTable(
    [
      { head: "NAME" },
      { head: "ARCH" },
      { head: "DIGEST" },
      { head: "KERNEL" },
      { head: "SIZE", align: "right" },
      { head: "DISK", align: "right" },
      { head: "SHARED", align: "right" },
      { head: "WHOSE" },
      { head: "CREATED" },
    ],
    images.map((image) => [
      image.name,
      image.arch,
      image.digest.slice(0, 12),
      image.kernelVersion,
      formatBytes(image.sizeBytes),
      formatBytes(usage(image).diskBytes),
      formatBytes(usage(image).sharedBytes),
      image.shared ? "all users'" : "yours",
      image.createdAt.slice(0, 16).replace("T", " "),
    ]),
  );
}

export const imageLs: Command = { spec, run: imageLsCommand };
