import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { OnProgress } from "../../config/progress.ts";
import type { Arch } from "../../config/spec.ts";
import { Deadline } from "../../util/deadline.ts";
import type { Image } from "../store/image.ts";
import { type ImageDirs, imageLayout } from "../store/layout.ts";
import { imageNotFound } from "../store/reference.ts";
import { comesFromPackage, readImage } from "../store/store.ts";

export interface FindOptions {
  readonly deadline?: Deadline | undefined;
  readonly onProgress?: OnProgress | undefined;
}

/**
 * The image that a name stands for. One that is not in the store is taken in from the guest bundle that is installed beside
 * smolvm, if there is one; one that came from there is replaced when a newer bundle is installed.
 * @throws SmolVMError IMAGE_NOT_FOUND, IMAGE_INVALID, NOT_SUPPORTED, CONFIG_INVALID, NO_SPACE, TIMEOUT, ABORTED
 */
export async function findImage(
  dirs: ImageDirs,
  name: string,
  arch: Arch,
  options: FindOptions = {},
): Promise<Image> {
  const found = await readImage(dirs, name, arch);
  const replaceable = found === undefined || comesFromPackage(imageLayout(dirs).ref(name, arch));
  if (found !== undefined && !replaceable) return found.image;
  // Loaded only here: what boots every day is in the store.
  const { installedGuest } = await import("../bundle/package.ts");
  const path = installedGuest(arch, name);
  if (found !== undefined && (path === undefined || (await bundleDigest(path)) === found.image.digest))
    return found.image;
  if (path === undefined) throw imageNotFound(name, arch);
  const { importBundle } = await import("../bundle/import.ts");
  const deadline = options.deadline ?? Deadline.of("taking the guest bundle in");
  const { image } = await importBundle(dirs, { path, name, fromPackage: true, ...options, deadline });
  return image;
}

/** The digest of an installed bundle's image; undefined for one that cannot be read, which is then told by an import. */
async function bundleDigest(path: string): Promise<string | undefined> {
  try {
    const { BUNDLE_FILE, parseBundleManifest } = await import("../bundle/bundle-manifest.ts");
    return parseBundleManifest(await readFile(join(path, BUNDLE_FILE), "utf8")).digest;
  } catch {
    return undefined;
  }
}
