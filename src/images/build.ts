import { createHash } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { OnProgress } from "../config/progress.ts";
import type { Arch } from "../config/spec.ts";
import { failpoint } from "../host/failpoint.ts";
import { hostArch } from "../host/hardware/facts.ts";
import type { Deadline } from "../util/deadline.ts";
import { orNoSpace } from "../util/no-space.ts";
import { Apt } from "./debian/apt.ts";
import { hostMirror } from "./debian/mirror.ts";
import { requireTools } from "./debian/tools.ts";
import { makeSeeds, SEEDS_KEY } from "./disk/seed-build.ts";
import { prepareKernel } from "./kernel/debian-kernel.ts";
import type { RunInGuest } from "./rootfs/foreign.ts";
import { findRecipe, type Recipe } from "./rootfs/recipe.ts";
import { acquireLock } from "./store/build-lock.ts";
import type { Image } from "./store/image.ts";
import { type ImageDirs, imageLayout } from "./store/layout.ts";
import { addImage, readImage } from "./store/store.ts";
import { inWorkDir } from "./store/work-dir.ts";

export interface BuildOptions {
  readonly arch: Arch;
  readonly deadline: Deadline;
  /** stages: wait, packages, kernel, rootfs, disk, store */
  readonly onProgress?: OnProgress | undefined;
  /** build even if an image of this recipe is there (to take in newer packages) */
  readonly force?: boolean | undefined;
  /** runs what an image for another architecture than the host's needs to run; absent: such images cannot be built */
  readonly runInGuest?: RunInGuest | undefined;
  /** address of a Debian archive; default the one that this host's apt uses */
  readonly mirror?: string | undefined;
}

/** An image that was built, or was there already. */
export interface BuildResult {
  readonly image: Image;
  /** false: an image of the same recipe was there and nothing was done */
  readonly built: boolean;
}

/**
 * Whether building an image takes a sandbox of another architecture, for minutes.
 * @throws SmolVMError as findRecipe
 */
export function needsGuest(name: string, arch: Arch): boolean {
  return findRecipe(name, arch).runsScripts && arch !== hostArch();
}

/**
 * Builds an image by name and puts it into the store. One build at a time: a second process waits and, if it wanted the
 * same, uses what the first one built. What an interrupted build left behind is removed first.
 * @throws SmolVMError IMAGE_NOT_FOUND (no such recipe), NOT_SUPPORTED, DEPENDENCY_MISSING, IMAGE_BUILD_FAILED, NO_SPACE,
 *   TIMEOUT, ABORTED
 */
export async function buildImage(dirs: ImageDirs, name: string, options: BuildOptions): Promise<BuildResult> {
  const { arch, deadline } = options;
  const recipe = findRecipe(name, arch);
  // Not of the mirror: what it delivers is Debian's, or its signature is wrong.
  const recipeKey = createHash("sha256")
    .update(JSON.stringify([recipe.key, SEEDS_KEY, arch]))
    .digest("hex");
  const existing = async (): Promise<Image | undefined> => {
    const found = await readImage(dirs, name, arch).catch(() => undefined); // a damaged one is built again
    return found?.manifest.recipe === recipeKey ? found.image : undefined;
  };

  const before = await existing();
  if (before !== undefined && !options.force) return { image: before, built: false };
  requireTools(recipe.tools);
  // What its packages' scripts run in; before the lock, which that build needs as well.
  if (needsGuest(name, arch)) await buildImage(dirs, "minimal", { ...options, force: false });

  let waited = false;
  const layout = imageLayout(dirs);
  const release = await acquireLock(layout.buildLock, deadline, (holder) => {
    waited = true;
    options.onProgress?.({ stage: "wait", message: `another process builds an image (pid ${holder.pid})` });
  });
  try {
    const now = await existing();
    if (now !== undefined && (!options.force || (waited && now.createdAt !== before?.createdAt))) {
      return { image: now, built: false };
    }
    return await inWorkDir(layout.work, async (workDir) => {
      try {
        const mirror = options.mirror ?? (await hostMirror(deadline));
        const image = await cook(dirs, workDir, { ...options, name, recipe, recipeKey, mirror });
        return { image, built: true };
      } catch (error) {
        throw noSpace(error, workDir);
      }
    });
  } finally {
    await release();
  }
}

async function cook(
  dirs: ImageDirs,
  workDir: string,
  options: BuildOptions & { name: string; recipe: Recipe; recipeKey: string; mirror: string },
): Promise<Image> {
  const { arch, deadline, mirror, recipe } = options;
  const progress = (stage: string, message: string): void => {
    failpoint(`image ${stage}`);
    options.onProgress?.({ stage, message });
  };
  const target = join(workDir, "image");
  await mkdir(target);

  progress("packages", `reading the package lists of ${mirror}`);
  const apt = await Apt.open(join(workDir, "apt"), { arch, mirror, deadline });

  progress("kernel", "downloading and unpacking Debian's cloud kernel");
  const kernel = await prepareKernel(apt, arch, workDir, target);

  progress("rootfs", recipe.message);
  const packages = await recipe.buildRootfs({
    apt,
    arch,
    mirror,
    deadline,
    workDir,
    target: join(target, recipe.rootfsFile),
    onLine: (line) => progress("rootfs", line),
    runInGuest: options.runInGuest,
  });

  progress("disk", "making empty disks");
  const directory = "seeds";
  const seeds = await makeSeeds(workDir, join(target, directory), deadline);

  progress("store", "hashing and storing");
  deadline.check();
  const { image } = await addImage(dirs, target, {
    name: options.name,
    arch,
    recipe: options.recipeKey,
    rootfs: { file: recipe.rootfsFile, format: recipe.rootfsFormat },
    kernel: {
      file: kernel.file,
      version: kernel.version,
      packageName: kernel.packageName,
      packageVersion: kernel.packageVersion,
    },
    seeds: { directory, files: seeds.map((file) => `${directory}/${file}`) },
    modules: kernel.modules,
    packages,
  });
  return image;
}

function noSpace(error: unknown, workDir: string): unknown {
  return orNoSpace(error, "no space left to build the image: about 1 GiB is needed", workDir, {
    hint: `Free some space (df -h '${workDir}' /tmp), then run the build again.`,
  });
}
