import { lstat, utimes } from "node:fs/promises";
import type { Arch } from "../../config/spec.ts";
import { type ImageDirs, imageLayout } from "../../images/store/layout.ts";
import { isStageImage } from "../../images/store/reference.ts";
import { type ImageUsers, listImages, removeImage } from "../../images/store/store.ts";

/** What all of them take, at most; the one that was used last stays, however large it is. */
const MAX_BYTES: number = 4 * 1024 ** 3;

/** Notes that a build has booted from one, so that others go before it. */
export async function touchStageImage(dirs: ImageDirs, name: string, arch: Arch): Promise<void> {
  const now = new Date();
  await utimes(imageLayout(dirs).ref(name, arch), now, now);
}

/**
 * Removes what builds have made to boot their stages from, the longest unused first, until the rest takes no more than `maxBytes`. What a sandbox
 * uses stays.
 */
export async function keepStageImagesWithin(
  dirs: ImageDirs,
  users: ImageUsers,
  maxBytes: number = MAX_BYTES,
): Promise<void> {
  const { cacheDir } = dirs;
  const layout = imageLayout(dirs);
  const found: { name: string; arch: Arch; sizeBytes: number; usedAt: number }[] = [];
  for (const { name, arch, sizeBytes } of await listImages({ cacheDir })) {
    if (!isStageImage(name)) continue;
    const stats = await lstat(layout.ref(name, arch)).catch(() => undefined); // another build may have removed it
    if (stats !== undefined) found.push({ name, arch, sizeBytes, usedAt: stats.mtimeMs });
  }
  found.sort((a, b) => b.usedAt - a.usedAt);
  let total = 0;
  for (const [index, { name, arch, sizeBytes }] of found.entries()) {
    total += sizeBytes;
    if (index === 0 || total <= maxBytes) continue;
    await removeImage({ cacheDir }, name, arch, users).catch(() => {}); // it is used, or gone
  }
}
