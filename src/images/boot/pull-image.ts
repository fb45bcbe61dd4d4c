import type { OnProgress } from "../../config/progress.ts";
import type { Arch } from "../../config/spec.ts";
import { SmolVMError } from "../../errors.ts";
import { readEnvironment } from "../../host/environment.ts";
import { hostArch } from "../../host/hardware/facts.ts";
import type { Deadline } from "../../util/deadline.ts";
import type { ArchiveReference, Reference } from "../oci/reference.ts";
import { pullImage } from "../pull.ts";
import { ArchiveSource } from "../registry/archive-source.ts";
import { LayoutSource } from "../registry/layout-source.ts";
import { MirroredSource } from "../registry/mirrored-source.ts";
import { RegistrySource } from "../registry/registry-source.ts";
import type { ImageSource } from "../registry/source.ts";
import { type ImageSettings, imageSettings } from "../settings.ts";
import type { Image } from "../store/image.ts";
import { type ImageDirs, imageLayout } from "../store/layout.ts";
import { absoluteReference, OWN_IMAGES } from "../store/reference.ts";
import { readImage, removeName, type StoredImage } from "../store/store.ts";
import { tagImage } from "../store/tag.ts";
import { takeInstalled } from "./installed.ts";

export interface PullNamedOptions {
  readonly arch: Arch;
  readonly deadline: Deadline;
  /** plain HTTP is accepted of any host; without it only of this machine */
  readonly insecure?: boolean | undefined;
  readonly onProgress?: OnProgress | undefined;
}

/**
 * Pulls the image that a reference names: from a registry, a directory in the OCI layout, or an archive of `docker save`.
 * @returns it, and whether anything had to be done
 * @throws SmolVMError CONFIG_INVALID (no reference), and as pullImage
 */
export async function pullNamed(
  dirs: ImageDirs,
  text: string,
  options: PullNamedOptions,
): Promise<{ image: Image; pulled: boolean }> {
  const reference = absoluteReference(text);
  const settings = imageSettings();
  const source = sourceOf(dirs, reference, settings, options);
  try {
    const { stored, pulled } = await pullImage(dirs, source, {
      ...options,
      name: reference.name,
      reference: inFull(reference),
      digest: reference.kind === "registry" ? reference.digest : undefined,
      downloadsMaxBytes: settings.downloadsMaxBytes,
      basis: () => findBasis(dirs, options),
    });
    return { image: stored.image, pulled };
  } finally {
    await source.close();
  }
}

/**
 * Takes an archive of `docker save` in, under the names that the image had there.
 * @param name what it is to be called instead
 * @returns the image by its first name, and all its names
 * @throws SmolVMError CONFIG_INVALID (a name that is none, or an archive that has none), and as pullImage
 */
export async function loadArchive(
  dirs: ImageDirs,
  file: string,
  { name, ...options }: PullNamedOptions & { readonly name?: string | undefined },
): Promise<{ image: Image; names: string[] }> {
  const reference = absoluteReference(`docker-archive:${file}`) as ArchiveReference;
  const source = new ArchiveSource(reference, imageLayout(dirs).blobs);
  const pulling = {
    ...options,
    name: reference.name,
    reference: reference.name,
    downloadsMaxBytes: imageSettings().downloadsMaxBytes,
    basis: () => findBasis(dirs, options),
  };
  const { stored } = await pullImage(dirs, source, pulling).finally(() => source.close());
  try {
    const wanted = name === undefined ? source.tags : [name];
    if (wanted.length === 0) {
      throw new SmolVMError("CONFIG_INVALID", `the image in '${file}' has no name`, {
        hint: `Give it one: smolvm image load --name NAME '${file}'`,
      });
    }
    const names: string[] = [];
    for (const tag of wanted)
      names.push((await tagImage(dirs, reference.name, tag, options.arch)).image.name);
    return { image: { ...stored.image, name: names[0]! }, names };
  } finally {
    await removeName(dirs, reference.name, options.arch); // with the image, where nothing else calls it anything
  }
}

/** Where an image is from, with nothing left out. */
function inFull(reference: Reference): string {
  if (reference.kind !== "registry") return reference.name;
  const { registry, repository, tag, digest } = reference;
  return `${registry}/${repository}${tag === undefined ? "" : `:${tag}`}${digest === undefined ? "" : `@${digest}`}`;
}

function sourceOf(
  dirs: ImageDirs,
  reference: Reference,
  settings: ImageSettings,
  { insecure, onProgress }: PullNamedOptions,
): ImageSource {
  switch (reference.kind) {
    case "oci":
      return new LayoutSource(reference);
    case "docker-archive":
      return new ArchiveSource(reference, imageLayout(dirs).blobs);
    case "registry": {
      const registryOptions = {
        settings: readEnvironment(process.env),
        insecure,
        onWait: (message: string) => onProgress?.({ stage: "wait", message }),
      };
      const mirrors = settings.mirrors.get(reference.registry) ?? [];
      return mirrors.length === 0
        ? new RegistrySource(reference, registryOptions)
        : new MirroredSource(reference, mirrors, registryOptions);
    }
  }
}

/**
 * An image of ours, of which a pulled one has its kernel, the modules and the empty disks: one that is there, else the guest bundle beside smolvm, else
 * the smallest is built.
 */
export async function findBasis(
  dirs: ImageDirs,
  { arch, deadline, onProgress }: PullNamedOptions,
): Promise<StoredImage> {
  for (const name of OWN_IMAGES) {
    const found = await readImage(dirs, name, arch);
    if (found !== undefined) return found;
  }
  const installed = await takeInstalled(dirs, OWN_IMAGES[0], arch, { deadline, onProgress });
  if (installed !== undefined) return installed;
  const { buildImage } = await import("../build.ts");
  onProgress?.({
    stage: "kernel",
    message: "there is no kernel yet: building the image minimal, which has one",
  });
  try {
    await buildImage(dirs, "minimal", { arch, deadline, onProgress });
  } catch (error) {
    if (!(error instanceof SmolVMError) || error.code !== "DEPENDENCY_MISSING") throw error;
    throw new SmolVMError(
      "DEPENDENCY_MISSING",
      `there is no kernel for ${arch} here, and building one is not possible: ${error.message}`,
      {
        hint: `${error.hint} Or take a guest bundle in: npm install smolvm-guest-${arch === "x86_64" ? "x64" : "arm64"}, or smolvm image import FILE`,
        details: error.details,
        cause: error,
      },
    );
  }
  const built = await readImage(dirs, "minimal", arch);
  if (built !== undefined) return built;
  throw new SmolVMError("IMAGE_NOT_FOUND", "the image 'minimal' was removed while it was needed", {
    hint: `Try again: smolvm image build minimal${arch === hostArch() ? "" : ` --arch ${arch}`}`,
  });
}
