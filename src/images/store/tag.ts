import type { Arch } from "../../config/spec.ts";
import { SmolVMError } from "../../errors.ts";
import type { ImageDirs } from "./layout.ts";
import { absoluteReference, isOwnImage, isPlainName } from "./reference.ts";
import { missingImage, nameImage, readImage, type StoredImage } from "./store.ts";

/**
 * Gives an image one more name; what had it loses it.
 * @param to a plain name ("mine"), or a reference as for a registry ("ghcr.io/me/mine:1")
 * @returns the image, by its new name
 * @throws SmolVMError IMAGE_NOT_FOUND, CONFIG_INVALID
 */
export async function tagImage(dirs: ImageDirs, from: string, to: string, arch: Arch): Promise<StoredImage> {
  const name = checkTag(to);
  const found = await readImage(dirs, from, arch);
  if (found === undefined) throw await missingImage(dirs, from, arch);
  await nameImage(dirs, { name, arch, digest: found.image.digest, fromPackage: false });
  return { image: { ...found.image, name }, manifest: found.manifest };
}

/**
 * The name that an image gets.
 * @param text a plain name ("mine"), or a reference as for a registry ("ghcr.io/me/mine:1")
 * @returns it in full
 * @throws SmolVMError CONFIG_INVALID
 */
export function checkTag(text: string): string {
  if (isOwnImage(text)) {
    throw new SmolVMError("CONFIG_INVALID", `'${text}' is the name of an image that smolvm makes itself`, {
      hint: `Choose another, or Docker's for that: docker.io/library/${text}`,
      details: { image: text },
    });
  }
  if (isPlainName(text)) return text;
  const reference = absoluteReference(text);
  if (reference.kind === "registry" && reference.digest === undefined) return reference.name;
  throw new SmolVMError("CONFIG_INVALID", `'${text}' cannot be given to an image`, {
    hint: "A digest, a directory and a file say what an image is. Give a name, with a tag: ghcr.io/me/mine:1",
    details: { image: text },
  });
}
