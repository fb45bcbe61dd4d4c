import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { OnProgress } from "../../config/progress.ts";
import type { Arch } from "../../config/spec.ts";
import { Deadline } from "../../util/deadline.ts";
import type { ImageDirs } from "../store/layout.ts";
import { isPlainName } from "../store/reference.ts";
import { readImage, type StoredImage } from "../store/store.ts";

/**
 * The image of the guest bundle that is installed beside smolvm, taken into the store if it is not the one that is there.
 * @returns undefined: there is no bundle, or what is in it is there
 */
export async function takeInstalled(
  dirs: ImageDirs,
  name: string,
  arch: Arch,
  options: { readonly deadline?: Deadline | undefined; readonly onProgress?: OnProgress | undefined },
  there?: StoredImage,
): Promise<StoredImage | undefined> {
  if (!isPlainName(name)) return undefined;
  // Loaded only here: what boots every day is in the store.
  const { installedGuest } = await import("../bundle/package.ts");
  const path = installedGuest(arch, name);
  if (path === undefined || (there !== undefined && (await bundleDigest(path)) === there.image.digest))
    return undefined;
  const { importBundle } = await import("../bundle/import.ts");
  const deadline = options.deadline ?? Deadline.of("taking the guest bundle in");
  await importBundle(dirs, { path, name, fromPackage: true, onProgress: options.onProgress, deadline });
  return readImage(dirs, name, arch);
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
