import type { Stats } from "node:fs";
import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import { type ImageDirs, imageLayout, MANIFEST_FILE } from "./layout.ts";

/** What an image takes of the disk. */
export interface ImageUsage {
  /** bytes of the disk that its files have: holes take none */
  readonly diskBytes: number;
  /** of these, bytes of files that other images have, too: its kernel and its empty disks, mostly */
  readonly sharedBytes: number;
}

/** What the images in a store take, by their digests. */
export async function imagesUsage(dirs: ImageDirs): Promise<ReadonlyMap<string, ImageUsage>> {
  const layout = imageLayout(dirs);
  const digests = await readdir(layout.images).catch(() => []);
  const files = new Map<string, { bytes: number; of: Set<string> }>();
  for (const digest of digests) {
    await eachFile(layout.image(digest), (stats, name) => {
      if (name === MANIFEST_FILE) return;
      const key = `${stats.dev} ${stats.ino}`;
      const file = files.get(key) ?? { bytes: allocated(stats), of: new Set() };
      file.of.add(digest);
      files.set(key, file);
    });
  }
  const usage = new Map(digests.map((digest) => [digest, { diskBytes: 0, sharedBytes: 0 }]));
  for (const { bytes, of } of files.values())
    for (const digest of of) {
      const one = usage.get(digest)!;
      one.diskBytes += bytes;
      if (of.size > 1) one.sharedBytes += bytes;
    }
  return usage;
}

async function eachFile(directory: string, act: (stats: Stats, name: string) => void): Promise<void> {
  for (const entry of await readdir(directory, { withFileTypes: true }).catch(() => [])) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) await eachFile(path, act);
    else {
      const stats = await lstat(path).catch(() => undefined); // it may have been removed
      if (stats?.isFile()) act(stats, entry.name);
    }
  }
}

/** Windows does not say how many blocks a file has. */
function allocated({ blocks, size }: Stats): number {
  return blocks === undefined ? size : blocks * 512;
}
