import { resolve } from "node:path";
import type { Arch } from "../../config/spec.ts";
import { SmolVMError } from "../../errors.ts";
import { hostArch } from "../../host/hardware/facts.ts";
import { parseReference, type Reference } from "../oci/reference.ts";

/** The images that smolvm can build: rootfs/recipe.ts has how. */
export const OWN_IMAGES = ["debian", "minimal"] as const;
export type OwnImage = (typeof OWN_IMAGES)[number];

/** Image names in the store: as Debian and Docker name things, without slash and colon. */
const NAME = /^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$/;

/**
 * Checks the name of an image that is made here. Pure.
 * @throws SmolVMError CONFIG_INVALID for what is no name, and for a reference into a registry ("python:3.12", "ghcr.io/a/b")
 */
export function checkImageName(name: string): string {
  if (isPlainName(name)) return name;
  throw new SmolVMError("CONFIG_INVALID", `'${name.slice(0, 300)}' is not an image name`, {
    hint: "Names are lower-case letters, digits, '.', '_' and '-'. An image of a registry is pulled: smolvm image pull python:3.12",
    details: { image: name.slice(0, 1000) },
  });
}

/** Whether that is a name as images have that are made here, and no reference into a registry for certain. Pure. */
export function isPlainName(name: string): boolean {
  return NAME.test(name);
}

/** Whether a name is of what a build has made to boot a stage from ({@link stageImageName}), and nobody has asked for. Pure. */
export function isStageImage(name: string): boolean {
  return /^build-stage-[0-9a-f]{24}$/.test(name);
}

/** What the image is called that a stage of a build boots from. @param key hex digits: what it depends on. Pure. */
export function stageImageName(key: string): string {
  return `build-stage-${key.slice(0, 24)}`;
}

/** Whether an image is one that smolvm makes itself. Pure. */
export function isOwnImage(name: string): name is OwnImage {
  return OWN_IMAGES.some((own) => own === name);
}

/**
 * Where an image comes from that is not made here: as it is written, and a directory or file by its whole path, so that its name in the
 * store does not depend on where somebody stands.
 * @throws SmolVMError CONFIG_INVALID
 */
export function absoluteReference(text: string): Reference {
  const reference = parseReference(text);
  switch (reference.kind) {
    case "registry":
      return reference;
    case "oci": {
      const directory = resolve(reference.directory);
      const name = `oci:${directory}${reference.tag === undefined ? "" : `:${reference.tag}`}`;
      return { ...reference, directory, name };
    }
    case "docker-archive": {
      const file = resolve(reference.file);
      return { ...reference, file, name: `docker-archive:${file}` };
    }
  }
}

/**
 * What an image that somebody names may be called in the store, the first choice first: what was made here under a plain name comes before
 * what Docker's registry has under it, and the images that smolvm makes itself are never that.
 * @throws SmolVMError CONFIG_INVALID
 */
export function storeNames(text: string): string[] {
  if (isOwnImage(text)) return [text];
  const pulled = absoluteReference(text).name;
  return isPlainName(text) ? [text, pulled] : [pulled];
}

/** The error for an image that is not in the store, with the command that builds it, or one that could be. Pure. */
export function imageNotFound(name: string, arch: Arch, host: Arch | undefined = hostArch()): SmolVMError {
  const other = arch === host ? "" : ` --arch ${arch}`;
  const hint = isOwnImage(name)
    ? `Build it: smolvm image build ${name}${other}`
    : `Get it: smolvm image pull ${name}${other}. What there is: smolvm image ls`;
  return new SmolVMError("IMAGE_NOT_FOUND", `there is no image '${name}' for ${arch}`, {
    hint,
    details: { image: name, arch },
  });
}
