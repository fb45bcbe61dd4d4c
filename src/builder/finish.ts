import type { Arch } from "../config/spec.ts";
import { failpoint } from "../host/failpoint.ts";
import type { ImageParts } from "../images/boot/compose.ts";
import { removeReplaced } from "../images/store/prune.ts";
import { readImage } from "../images/store/store.ts";
import { tagImage } from "../images/store/tag.ts";
import { imagesInUse } from "../users-of-images.ts";
import type { Build } from "./build.ts";
import { compose } from "./stages/compose.ts";
import type { BuildStage } from "./stages/stage.ts";
import type { BuildOptions, BuiltImage } from "./types.ts";

/** Makes the image of what the wanted stage has come to, and gives it its names. What they meant before goes, unless something uses it: else each build would leave an image. */
export async function finish(build: Build, stage: BuildStage): Promise<BuiltImage> {
  const { home, tags, args, report, deadline } = build;
  const { arch } = stage;
  const { undeclared } = args;
  if (undeclared.length > 0) report.warnings.push(`no ARG declares ${undeclared.join(", ")}`);
  const [name = `built-${stage.content.key.slice(0, 12)}`, ...others] = tags;
  failpoint("before built");
  const replaced = await imagesCalled(build, [name, ...others], arch);
  const { image } = await compose(build, labelled(stage.parts, build.options.labels), name, arch);
  for (const tag of others) await tagImage(home.paths, name, tag, arch);
  for (const digest of replaced)
    if (digest !== image.digest)
      await removeReplaced(home.paths, digest, imagesInUse, deadline).catch(() => {}); // prune finds it
  return {
    name,
    names: tags.length === 0 ? [name] : tags,
    digest: image.origin!.manifest,
    arch: image.arch,
    sizeBytes: image.sizeBytes,
    steps: report.steps,
    warnings: report.warnings,
  };
}

/** The digests of the images that these names stand for now. */
async function imagesCalled({ home }: Build, names: readonly string[], arch: Arch): Promise<Set<string>> {
  const { cacheDir } = home.paths;
  const found = await Promise.all(
    names.map((name) => readImage({ cacheDir }, name, arch).catch(() => undefined)), // a damaged one is replaced, too
  );
  return new Set(found.flatMap((stored) => stored?.image.digest ?? []));
}

function labelled({ document, layers }: ImageParts, labels: BuildOptions["labels"]): ImageParts {
  if (labels === undefined) return { document, layers };
  const { config } = document;
  return {
    document: { ...document, config: { ...config, Labels: { ...config.Labels, ...labels } } },
    layers,
  };
}
