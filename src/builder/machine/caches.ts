import { createHash, randomBytes } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, open } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import type { Arch } from "../../config/spec.ts";
import { failpoint } from "../../host/failpoint.ts";
import { writeDurably } from "../../host/files/write-durably.ts";
import { type ImageDirs, imageLayout } from "../../images/store/layout.ts";
import { rename, rm } from "../../util/files-go.ts";

/** What the files of a cache mount are called, in which it lies between builds. Pure. */
function cacheKey(id: string, arch: Arch): string {
  return createHash("sha256").update(`${arch} ${id}`).digest("hex");
}

/** What a cache held after the last build; undefined: nothing is known of it. */
export async function openCache(
  dirs: ImageDirs,
  id: string,
  arch: Arch,
): Promise<AsyncIterable<Buffer> | undefined> {
  const file = await open(imageLayout(dirs).buildCache(cacheKey(id, arch))).catch(() => undefined);
  return file === undefined ? undefined : createReadStream("", { fd: file });
}

/** Keeps what a cache holds now. Of two builds the one that ends last keeps its own. */
export async function keepCache(
  dirs: ImageDirs,
  id: string,
  arch: Arch,
  tar: AsyncIterable<Buffer>,
): Promise<void> {
  const key = cacheKey(id, arch);
  const layout = imageLayout(dirs);
  const path = layout.buildCache(key);
  await mkdir(layout.buildCaches, { recursive: true, mode: 0o700 });
  const temporary = `${path}.${process.pid}.${randomBytes(4).toString("hex")}.tmp`;
  try {
    await pipeline(tar, createWriteStream(temporary, { flags: "wx", mode: 0o600 }));
    failpoint("cache written");
    await writeDurably(layout.buildCacheNote(key), `${JSON.stringify({ id, arch })}\n`);
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
}
