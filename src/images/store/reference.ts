import { SmolVMError } from "../../errors.ts";

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
