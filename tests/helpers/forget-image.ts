import { rmSync } from "node:fs";
import type { Arch } from "../../src/config/spec.ts";
import type { Paths } from "../../src/host/files/paths.ts";
import { imageLayout } from "../../src/images/store/layout.ts";
import { readImage, removeImage } from "../../src/images/store/store.ts";

/** Removes an image that a test has put into the user's cache, layers and all. */
export async function forgetImage(paths: Paths, name: string, arch: Arch): Promise<void> {
  const origin = (await readImage(paths, name, arch))?.image.origin;
  await removeImage(paths, name, arch, () => []).catch(() => {}); // a test that failed has made nothing
  const layers = (origin?.layers ?? []).map((layer) => layer.digest);
  for (const digest of [origin?.manifest, origin?.configDigest, ...layers])
    if (digest !== undefined) rmSync(imageLayout(paths).blob(digest), { force: true });
}
