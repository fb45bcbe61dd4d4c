import type { Arch } from "../../config/spec.ts";
import { SmolVMError } from "../../errors.ts";
import { hostArch } from "../../host/hardware/facts.ts";

/** The images that smolvm can build: rootfs/recipe.ts has how. */
export const OWN_IMAGES = ["debian", "minimal"] as const;
export type OwnImage = (typeof OWN_IMAGES)[number];

/** Image names in the store: as Debian and Docker name things, without slash and colon. */
const NAME = /^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$/;

/**
 * Checks the name of an image. Pure.
 * @throws SmolVMError NOT_SUPPORTED for what looks like a reference into a container registry ("python:3.12",
 *   "ghcr.io/a/b"), CONFIG_INVALID for what is no name at all
 */
export function checkImageName(name: string): string {
  if (NAME.test(name)) return name;
  if (
    /^[\w.-]+(?::\d+)?(?:\/[\w.-]+)*(?::[\w.-]+)?(?:@sha256:[0-9a-f]+)?$/i.test(name) &&
    /[/:@]/.test(name)
  ) {
    throw new SmolVMError(
      "NOT_SUPPORTED",
      `'${name}' looks like a container image, and these cannot be used yet`,
      {
        hint: "Use the image debian, or a root file system of your own with rootfsPath (squashfs, erofs or ext4).",
        details: { image: name },
      },
    );
  }
  throw new SmolVMError("CONFIG_INVALID", `'${name}' is not an image name`, {
    hint: "Names are lower-case letters, digits, '.', '_' and '-'. See: smolvm image ls",
    details: { image: name },
  });
}

/** The error for an image that is not in the store, with the command that builds it, or one that could be. Pure. */
export function imageNotFound(name: string, arch: Arch, host: Arch | undefined = hostArch()): SmolVMError {
  const hint = OWN_IMAGES.some((own) => own === name)
    ? `Build it: smolvm image build ${name}${arch === host ? "" : ` --arch ${arch}`}`
    : "See what there is: smolvm image ls";
  return new SmolVMError("IMAGE_NOT_FOUND", `there is no image '${name}' for ${arch}`, {
    hint,
    details: { image: name, arch },
  });
}
