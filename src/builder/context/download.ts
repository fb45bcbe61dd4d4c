import { createHash, randomBytes } from "node:crypto";
import { createWriteStream } from "node:fs";
import { mkdir, open } from "node:fs/promises";
import { join, posix } from "node:path";
import { pipeline } from "node:stream/promises";
import { SmolVMError } from "../../errors.ts";
import { type ImageDirs, imageLayout } from "../../images/store/layout.ts";
import type { Deadline } from "../../util/deadline.ts";
import { rm } from "../../util/files-go.ts";
import { encodeEntry, padding } from "../../util/tar/header.ts";
import { changed } from "../plan/chmod.ts";
import type { Fail } from "../plan/errors.ts";
import type { AddedFile } from "./added-file.ts";
import { fetchUrl, isPublic, type MayReach } from "./fetch-url.ts";

export interface DownloadOptions {
  readonly dirs: ImageDirs;
  /** of what is downloaded, "sha256:..." */
  readonly checksum: string | undefined;
  readonly deadline: Deadline;
  /** default: the public internet */
  readonly mayReach?: MayReach | undefined;
  /** the error for what cannot be copied */
  readonly fail: Fail;
}

/** Downloads a file; it is for root alone, as Docker has it. */
export async function download(
  url: string,
  { dirs, checksum, deadline, fail, mayReach = isPublic }: DownloadOptions,
): Promise<AddedFile & { readonly path: string }> {
  if (checksum !== undefined && !/^sha256:[0-9a-f]{64}$/.test(checksum))
    throw fail(`--checksum=${checksum} is no sha256:...`);
  if (!URL.canParse(url)) throw fail(`'${url}' is no address`);
  const name = posix.basename(new URL(url).pathname);
  const { blobs } = imageLayout(dirs);
  await mkdir(blobs, { recursive: true, mode: 0o700 });
  // One whose maker has died is told by its name (store/unfinished.ts).
  const path = join(blobs, `add.${process.pid}.${randomBytes(4).toString("hex")}.tmp`);
  const hash = createHash("sha256");
  let size = 0;
  let mtime = 0;
  try {
    const answer = await fetchUrl(url, mayReach, deadline);
    mtime = Math.floor((Date.parse(answer.headers["last-modified"] ?? "") || 0) / 1000);
    await pipeline(
      answer,
      async function* (chunks: AsyncIterable<Uint8Array>) {
        for await (const chunk of chunks) {
          hash.update(chunk);
          size += chunk.length;
          yield chunk;
        }
      },
      createWriteStream(path, { flags: "wx", mode: 0o600 }),
    );
  } catch (cause) {
    await rm(path, { force: true });
    if (deadline.expired) throw deadline.error();
    throw new SmolVMError("HOST_FAILED", `'${url}' cannot be downloaded: ${(cause as Error).message}`, {
      hint: "Look whether this machine reaches it (curl -I URL), or put the file into the context and COPY it.",
      cause,
    });
  }
  const digest = `sha256:${hash.digest("hex")}`;
  if (checksum !== undefined && digest !== checksum) {
    await rm(path, { force: true });
    throw fail(`what comes from ${url} is ${digest}, and not ${checksum}`);
  }
  return {
    path,
    isOneFile: true,
    digest: async () => `download ${digest} ${name}`,
    async *tar(placed) {
      const called = placed.name ?? name;
      if (called === "")
        throw fail(`${url} says no file name: give a destination without a slash at its end`);
      const { uid, gid } = placed;
      const mode = changed(placed.mode, 0o600, false);
      const header = { mode, uid, gid, size, mtime, type: "0", linkName: Buffer.alloc(0) };
      yield encodeEntry({ ...header, name: Buffer.from(called) });
      const file = await open(path, "r");
      yield* file.createReadStream() as AsyncIterable<Buffer>;
      yield Buffer.alloc(padding(size) + 1024);
    },
    close: () => rm(path, { force: true }),
  };
}
