import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { identify, isAlive } from "../../host/process/process-identity.ts";
import { rm } from "../../util/files-go.ts";
import { isLocked, removeStale } from "./build-lock.ts";
import { kernelLayout } from "./kernel-layout.ts";
import { type ImageDirs, imageLayout } from "./layout.ts";
import { isWorkDir } from "./work-dir.ts";

/** What is noted of this host beside the directories (host/files/cached-json.ts). There may be files of another program there. */
const OUR_NOTES = /^(firecracker|isolation|qemu|tsc)\b.*\.json\./;

/**
 * Removes what builds and imports of images, and builds of kernels, that died have left: their working directories, their
 * locks, and temporary files. Of one that runs nothing is touched. Returns the paths.
 */
export async function removeUnfinished(dirs: ImageDirs): Promise<string[]> {
  const layout = imageLayout(dirs);
  const removed: string[] = [];
  const remove = async (path: string): Promise<void> => {
    await rm(path, { recursive: true, force: true });
    removed.push(path);
  };
  const kernels = kernelLayout(dirs);
  for (const { work, buildLock } of [layout, kernels]) {
    if (await isLocked(buildLock)) continue;
    for (const name of (await names(work)).filter(isWorkDir)) await remove(join(work, name));
    if (await removeStale(buildLock)) removed.push(buildLock);
  }
  for (const directory of [
    dirs.cacheDir,
    layout.root,
    layout.refs,
    layout.blobs,
    layout.ownLayers,
    layout.buildSteps,
    layout.buildCaches,
    layout.initrds,
    layout.agents,
    layout.kernels,
    layout.extractedKernels,
    kernels.sources,
  ]) {
    for (const name of await names(directory)) {
      if (directory === dirs.cacheDir && !OUR_NOTES.test(name)) continue;
      const pid = temporaryOf(name);
      if (pid !== undefined && !isAlive(identify(pid))) await remove(join(directory, name));
    }
  }
  for (const name of await names(layout.blobs)) {
    if (!name.endsWith(".lock")) continue;
    const path = join(layout.blobs, name);
    if (await removeStale(path)) removed.push(path);
  }
  return removed;
}

/** The process that a temporary file is of: NAME.PID.tmp, NAME.PID.RANDOM.tmp, build.lock.PID.RANDOM. Pure. */
function temporaryOf(name: string): number | undefined {
  const match = /\.(\d+)(?:\.[0-9a-f]{8})?\.tmp$|\.lock\.(\d+)\.[0-9a-f]{8}$/.exec(name);
  return match ? Number(match[1] ?? match[2]) : undefined;
}

function names(directory: string): Promise<string[]> {
  return readdir(directory).catch(() => []);
}
