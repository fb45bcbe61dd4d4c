import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, open, stat, utimes } from "node:fs/promises";
import { isSmolVMError, SmolVMError } from "../../errors.ts";
import { failpoint } from "../../host/failpoint.ts";
import type { Deadline } from "../../util/deadline.ts";
import { rename, rm } from "../../util/files-go.ts";
import { orNoSpace } from "../../util/no-space.ts";
import { type Descriptor, invalid } from "../oci/manifest.ts";
import { acquireLock } from "../store/build-lock.ts";
import { type ImageDirs, imageLayout } from "../store/layout.ts";
import { ConnectionFailed } from "./http.ts";
import { ATTEMPTS, waitMs } from "./retry.ts";
import type { ImageSource } from "./source.ts";

/** A file that is synced, and has its name, only once it was whole and right. */
const SYNC_EVERY_BYTES = 64 * 1024 * 1024;

export interface FetchOptions {
  readonly deadline: Deadline;
  /** told of each piece that is there, in bytes; what was there before at once. Negative: what was there is not right */
  readonly onBytes?: ((count: number) => void) | undefined;
  /** told once if another process downloads the same */
  readonly onWait?: ((pid: number) => void) | undefined;
}

/**
 * Gets a blob into the store, unless it is there: as it comes its size and digest are checked; what comes before a cut is kept, in this process or
 * after it, and asked for no more. Two processes that want the same one download it once.
 * @returns its path
 * @throws SmolVMError IMAGE_INVALID (other content than its digest says), REGISTRY_FAILED, NO_SPACE, TIMEOUT, ABORTED
 */
export async function fetchBlob(
  dirs: ImageDirs,
  source: ImageSource,
  descriptor: Descriptor,
  options: FetchOptions,
): Promise<string> {
  const layout = imageLayout(dirs);
  const path = layout.blob(descriptor.digest);
  const { deadline, onBytes } = options;
  if (await isThere(path, descriptor)) {
    await noteUse(path);
    onBytes?.(descriptor.size);
    return path;
  }
  await mkdir(layout.blobs, { recursive: true, mode: 0o700 });
  const release = await acquireLock(`${path}.lock`, deadline, (holder) => options.onWait?.(holder.pid));
  try {
    if (await isThere(path, descriptor)) onBytes?.(descriptor.size);
    else await downloadFrom(`${path}.partial`, path, source, descriptor, options);
    return path;
  } catch (error) {
    throw orNoSpace(error, `no space left for a layer of '${source.name}'`, layout.blobs, {
      hint: "Free some space, or see what is not used: smolvm image prune --dry-run. What was downloaded is kept.",
    });
  } finally {
    await release();
  }
}

/** What is used is not what goes first when downloads are more than are kept. */
async function noteUse(path: string): Promise<void> {
  const now = new Date();
  await utimes(path, now, now).catch(() => {}); // removed this moment: it is downloaded again by who needs it
}

async function isThere(path: string, { size }: Descriptor): Promise<boolean> {
  return stat(path).then(
    (found) => found.isFile() && found.size === size,
    () => false,
  );
}

/** {@link download}, of whichever place has the right one. */
async function downloadFrom(
  partial: string,
  path: string,
  source: ImageSource,
  descriptor: Descriptor,
  options: FetchOptions,
): Promise<void> {
  for (;;) {
    try {
      return await download(partial, path, source, descriptor, options);
    } catch (error) {
      if (!isSmolVMError(error, "IMAGE_INVALID") && !isSmolVMError(error, "REGISTRY_FAILED")) throw error;
      if (!source.passBy?.(descriptor.digest, error)) throw error;
      options.onBytes?.(-(await sizeOf(partial))); // they are counted once more
    }
  }
}

async function sizeOf(path: string): Promise<number> {
  return stat(path).then(
    ({ size }) => size,
    () => 0,
  );
}

async function download(
  partial: string,
  path: string,
  source: ImageSource,
  descriptor: Descriptor,
  { deadline, onBytes }: FetchOptions,
): Promise<void> {
  let have = await sizeOf(partial);
  if (have > descriptor.size) {
    await rm(partial, { force: true });
    have = 0;
  }
  let resumed = have > 0;
  let hash = createHash("sha256");
  if (resumed) for await (const chunk of createReadStream(partial)) hash.update(chunk as Uint8Array);
  onBytes?.(have);
  const again = async (): Promise<void> => {
    await rm(partial, { force: true });
    onBytes?.(-have);
    have = 0;
    resumed = false;
    hash = createHash("sha256");
  };
  for (let failures = 0; have < descriptor.size; ) {
    const before = have;
    try {
      const answer = await source.blob(descriptor, have, deadline);
      if (answer.from !== have) await again();
      const file = await open(partial, have === 0 ? "w" : "a", 0o600);
      try {
        for await (const chunk of answer.chunks) {
          deadline.check();
          if (have + chunk.length > descriptor.size)
            throw invalid(source.name, `a layer of it is larger than its ${descriptor.size} bytes`);
          for (let done = 0; done < chunk.length; ) {
            const { bytesWritten } = await file.write(chunk, done);
            done += bytesWritten;
          }
          hash.update(chunk);
          const mark = Math.floor(have / SYNC_EVERY_BYTES);
          have += chunk.length;
          onBytes?.(chunk.length);
          if (Math.floor(have / SYNC_EVERY_BYTES) !== mark) await file.datasync();
          failpoint("pull bytes");
        }
      } finally {
        await file.close();
      }
      if (have < descriptor.size) throw new ConnectionFailed("it ended in the middle");
    } catch (error) {
      if (deadline.expired) throw deadline.error();
      if (!(error instanceof ConnectionFailed)) {
        if (isSmolVMError(error, "IMAGE_INVALID")) await again();
        throw error;
      }
      // As long as it gets on it is asked again.
      failures = have > before ? 1 : failures + 1;
      if (failures >= ATTEMPTS) throw cutOff(source.name, error);
      await deadline.sleep(waitMs(failures - 1, undefined, Date.now()));
    }
  }
  if (have === 0) await (await open(partial, "w", 0o600)).close(); // nothing is a blob, too
  const digest = `sha256:${hash.digest("hex")}`;
  if (digest !== descriptor.digest) {
    const before = resumed;
    await again();
    // What an earlier pull left may have been damaged: once more from the beginning.
    if (before) return download(partial, path, source, descriptor, { deadline, onBytes });
    throw invalid(source.name, `what came for ${descriptor.digest} is ${digest}`);
  }
  const file = await open(partial, "r+");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
  failpoint("pull blob");
  await rename(partial, path);
}

function cutOff(name: string, cause: Error): SmolVMError {
  return new SmolVMError("REGISTRY_FAILED", `'${name}' was cut off again and again: ${cause.message}`, {
    hint: "Try again: what was downloaded is kept, and the next pull goes on from there.",
    details: { image: name },
    cause,
  });
}
