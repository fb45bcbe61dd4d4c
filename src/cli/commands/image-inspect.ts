import { processPaths } from "../../host/files/paths.ts";
import type { Image } from "../../images/store/image.ts";
import { isOwnImage } from "../../images/store/reference.ts";
import { type ImageInspection, inspectImage } from "../../images/store/store.ts";
import { ARCH_OPTION, parseArch } from "../args/image.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import type { Io } from "../io.ts";
import { renderFields, renderTable } from "../render/table.ts";
import { formatBytes } from "../render/units.ts";
import { imageData } from "./image-ls.ts";
import { healthCheckText } from "./info.ts";

const spec: CommandSpec = {
  name: "image inspect",
  usage: "[OPTIONS] NAME",
  operands: { min: 1, max: 1, what: "the image's name", complete: "images" },
  options: [
    ARCH_OPTION,
    { name: "verify", help: "read all files and compare their hashes" },
    ...COMMON_OPTIONS,
  ],
  exit: "plain",
  notes: ["With --json also every package with its version."],
  examples: ["smolvm image inspect debian", "smolvm image inspect --verify debian"],
};

async function imageInspectCommand(io: Io, args: Arguments): Promise<Outcome> {
  const verify = args.flag("verify");
  if (verify) io.onProgress({ stage: "verify", message: "comparing hashes" });
  const inspection = await inspectImage(processPaths(), args.operands[0]!, parseArch(args.value("arch")), {
    verify,
  });
  const { image, manifest, verified } = inspection;
  return {
    data: {
      ...imageData(image),
      packages: manifest.packages,
      files: manifest.files,
      verified: verified ?? null,
    },
    text: () => `${imageFields(inspection)}${historyTable(image)}`,
  };
}

/** Everything about an image but its long lists. Pure. */
export function imageFields({ image, manifest, verified }: ImageInspection): string {
  return renderFields([
    ["name", image.name],
    ["arch", image.arch],
    ["digest", image.digest],
    ["created", image.createdAt],
    ["size", formatBytes(image.sizeBytes)],
    ["whose", image.shared ? "all users' of this machine" : undefined],
    ["root file system", `${image.rootfsPath} (${image.rootfsFormat})`],
    ["kernel", `${image.kernelVersion} (${manifest.kernel.packageName} ${manifest.kernel.packageVersion})`],
    ["kernel file", image.kernelPath],
    ...originFields(image),
    ["packages", image.origin === undefined ? String(manifest.packages.length) : undefined],
    ["verified", verified ? "all files are as they were built" : undefined],
  ]);
}

/** Pure. */
function sourceOf({ made, reference }: NonNullable<Image["origin"]>): string {
  if (made === undefined) return `pulled from ${reference}`;
  return made === "build" ? "built here, by a Dockerfile" : "made here, of a sandbox";
}

/** Where a pulled image is from, and what it says of itself. Pure. */
function originFields({ name, origin }: Image): (readonly [string, string | undefined])[] {
  if (origin === undefined) {
    const other = isOwnImage(name) ? ` (Docker's of that name is docker.io/library/${name})` : "";
    return [["source", `made by smolvm${other}`]];
  }
  const { config } = origin;
  const list = (items: readonly string[]): string | undefined =>
    items.length === 0 ? undefined : items.join(" ");
  const packed = origin.layers.reduce((sum, { size }) => sum + size, 0);
  return [
    ["source", sourceOf(origin)],
    ["manifest", origin.manifest],
    ["made", origin.created],
    ["layers", `${origin.layers.length} (${formatBytes(packed)} packed)`],
    ["entrypoint", list(config.entrypoint)],
    ["command", list(config.cmd)],
    ["environment", list(Object.entries(config.env).map(([key, value]) => `${key}=${value}`))],
    ["user", config.user],
    ["working directory", config.workdir],
    ["ports", list(config.exposedPorts)],
    ["volumes", list(config.volumes)],
    ["stop signal", config.stopSignal],
    ["health check", config.healthCheck && healthCheckText(config.healthCheck)],
    ...Object.entries(config.labels).map(([key, value]): [string, string] => ["label", `${key}=${value}`]),
  ];
}

/** How a pulled image was made, step by step from the lowest up, with the layer that each has made. Pure. */
export function historyTable({ origin }: Image): string {
  if (origin === undefined || origin.layers.length === 0) return "";
  const { layers, history } = origin;
  const made = history.filter(({ empty }) => !empty).length;
  // One that does not tell all its layers' steps tells nothing that could be matched with them.
  const steps = made === layers.length ? history : layers.map(() => ({ createdBy: "", empty: false }));
  let next = 0;
  const rows = steps.map(({ createdBy, empty }) => {
    const layer = empty ? undefined : layers[next++];
    return [
      layer?.digest.slice(0, 19) ?? "",
      layer === undefined ? "" : formatBytes(layer.size),
      createdBy.replace(/\s+/g, " ").slice(0, 200),
    ];
  });
  return `\n${renderTable([{ head: "LAYER" }, { head: "PACKED", align: "right" }, { head: "MADE BY" }], rows)}`;
}

export const imageInspect: Command = { spec, run: imageInspectCommand };
