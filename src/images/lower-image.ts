import { readFile } from "node:fs/promises";
import type { Arch } from "../config/spec.ts";
import { type ImageDocument, parseImageDocument } from "./oci/config.ts";
import type { ImageManifest } from "./oci/manifest.ts";
import { type ImageDirs, imageLayout } from "./store/layout.ts";
import { listImages, readStored } from "./store/store.ts";
import { UNPACK_RECIPE } from "./unpack/recipe.ts";
import type { UnpackBase } from "./unpack/unpack-image.ts";

/** What a guest mounts, and where its host name and name servers are noted: an image of one program alone has none of it. */
const EXPECTED = ["/dev", "/etc", "/proc", "/run", "/sys"];

/** Directories that an image has, whatever its layers hold. Pure. */
export function ownDirectories({ config }: Pick<ImageDocument, "config">): string[] {
  return [...EXPECTED, ...config.volumes];
}

/** An image that others begin with. */
export interface LowerImage extends UnpackBase {
  readonly name: string;
}

/**
 * The image of the store that has most of an image's layers, from the lowest up, and nothing else: what those have become can be taken over from it.
 * @returns undefined: there is none
 */
export async function lowerImage(
  dirs: ImageDirs,
  { layers }: ImageManifest,
  document: ImageDocument,
  arch: Arch,
): Promise<LowerImage | undefined> {
  const directories = ownDirectories(document);
  let best: LowerImage | undefined;
  for (const { name, digest, arch: itsArch, origin, rootfsPath, rootfsFormat } of await listImages(dirs)) {
    if (origin === undefined || origin.recipe !== UNPACK_RECIPE) continue;
    const count = origin.layers.length;
    if (itsArch !== arch || rootfsFormat !== "erofs" || count <= (best?.layers ?? 0)) continue;
    if (!origin.layers.every((layer, index) => layer.digest === layers[index]?.digest)) continue;
    const its = await readFile(imageLayout(dirs).blob(origin.configDigest))
      .then((bytes) => parseImageDocument(bytes, arch, name))
      .catch(() => undefined); // it was pruned
    // What its config calls its layers was looked at when they were unpacked; what this one does is not.
    if (its === undefined || !its.diffIds.every((diffId, index) => diffId === document.diffIds[index]))
      continue;
    const has = ownDirectories(its);
    if (!has.every((one) => directories.includes(one))) continue;
    const { manifest } = (await readStored(dirs, digest)) ?? {};
    const sha256 = manifest?.files.find(({ path }) => path === manifest.rootfs.file)?.sha256;
    if (sha256 !== undefined) best = { name, path: rootfsPath, sha256, layers: count, directories: has };
  }
  return best;
}
