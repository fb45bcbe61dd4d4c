import { chmod, mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { OnProgress } from "../../config/progress.ts";
import { SmolVMError } from "../../errors.ts";
import { failpoint } from "../../host/failpoint.ts";
import { diskSpace } from "../../host/files/disk-space.ts";
import type { Deadline } from "../../util/deadline.ts";
import { rename, rm } from "../../util/files-go.ts";
import { orNoSpace } from "../../util/no-space.ts";
import { acquireLock } from "../store/build-lock.ts";
import type { Image } from "../store/image.ts";
import { addKernel, type BuiltKernel, kernelIsChosen, readKernel, useKernel } from "../store/kernel-store.ts";
import { type ImageDirs, imageLayout } from "../store/layout.ts";
import { sha256File } from "../store/manifest.ts";
import { adoptImage, nameImage, readStored } from "../store/store.ts";
import { inWorkDir } from "../store/work-dir.ts";
import { AGENT_FILE, type BundleManifest, IMAGE_DIRECTORY, KERNEL_DIRECTORY } from "./bundle-manifest.ts";
import { type OpenBundle, openBundle } from "./open.ts";
import { unpackBundle } from "./unpack.ts";
import { type VerifiedBundle, verifyBundle } from "./verify.ts";

export interface ImportOptions {
  /** an archive, or a directory with an unpacked one */
  readonly path: string;
  /** what the image is to be called; default the name in the bundle */
  readonly name?: string | undefined;
  /** it is the guest package beside smolvm: when that is replaced, so is the image */
  readonly fromPackage?: boolean | undefined;
  readonly deadline: Deadline;
  /** stages: wait, unpack (with a fraction), verify, store */
  readonly onProgress?: OnProgress | undefined;
}

export interface ImportResult {
  readonly image: Image;
  readonly kernel: BuiltKernel | undefined;
  /** false: all of it was there already */
  readonly imported: boolean;
}

/**
 * Takes a guest bundle in: its image, its fast kernel (used for new sandboxes unless a kernel was chosen before) and its
 * agent (used where smolvm comes without one). Everything is unpacked aside and checked before it gets its final name; what
 * an import that died has left is removed by the next one, or by gc.
 * @throws SmolVMError FILE_NOT_FOUND, IMAGE_INVALID, CONFIG_INVALID (name), NO_SPACE, TIMEOUT, ABORTED
 */
export async function importBundle(dirs: ImageDirs, options: ImportOptions): Promise<ImportResult> {
  const { deadline } = options;
  const progress = (stage: string, message: string, fraction?: number): void => {
    failpoint(`import ${stage}`);
    options.onProgress?.({ stage, message, ...(fraction === undefined ? {} : { fraction }) });
  };
  const bundle = await openBundle(options.path);
  try {
    const { manifest } = bundle;
    const as = { name: options.name ?? manifest.name, fromPackage: options.fromPackage ?? false };
    const layout = imageLayout(dirs);
    const release = await acquireLock(layout.buildLock, deadline, (holder) => {
      progress("wait", `another process builds or imports an image (pid ${holder.pid})`);
    });
    try {
      const there = await alreadyThere(dirs, manifest, as);
      if (there !== undefined) return there;
      return await inWorkDir(layout.work, async (workDir) => {
        try {
          return await takeIn(dirs, bundle, workDir, { as, deadline, progress });
        } catch (error) {
          throw noSpace(error, workDir);
        }
      });
    } finally {
      await release();
    }
  } finally {
    await bundle.close();
  }
}

/** What the image is called, and whether it follows the guest package. */
interface Naming {
  readonly name: string;
  readonly fromPackage: boolean;
}

async function takeIn(
  dirs: ImageDirs,
  bundle: OpenBundle,
  workDir: string,
  {
    as,
    deadline,
    progress,
  }: {
    as: Naming;
    deadline: Deadline;
    progress: (stage: string, message: string, fraction?: number) => void;
  },
): Promise<ImportResult> {
  const { manifest } = bundle;
  const total = manifest.files.reduce((sum, file) => sum + file.sizeBytes, 0);
  const { freeBytes } = diskSpace(workDir);
  if (freeBytes < total) throw new SmolVMError("NO_SPACE", roomText(total), { hint: roomHint(workDir) });
  let done = 0;
  progress("unpack", `unpacking ${manifest.name} for ${manifest.arch}`, 0);
  await unpackBundle(bundle, workDir, {
    deadline,
    onBytes: (count) => {
      done += count;
      progress("unpack", `unpacking ${manifest.name} for ${manifest.arch}`, Math.min(0.99, done / total));
    },
  });
  progress("verify", "checking what is in it");
  const verified = await verifyBundle(workDir, manifest);
  deadline.check();
  progress("store", "storing");
  return await store(dirs, manifest, verified, { workDir, as });
}

/** Everything has been checked. The image comes last: once it can be found, all that belongs to it is there. */
async function store(
  dirs: ImageDirs,
  manifest: BundleManifest,
  { image, kernel, hasAgent }: VerifiedBundle,
  { workDir, as }: { workDir: string; as: Naming },
): Promise<ImportResult> {
  if (hasAgent) {
    const target = imageLayout(dirs).agent(manifest.arch);
    await mkdir(imageLayout(dirs).agents, { recursive: true, mode: 0o700 });
    await chmod(join(workDir, AGENT_FILE), 0o700);
    await rename(join(workDir, AGENT_FILE), target);
  }
  let added: BuiltKernel | undefined;
  if (kernel !== undefined && manifest.kernel !== undefined) {
    await rm(join(workDir, KERNEL_DIRECTORY, "manifest.json"));
    added = await addKernel(dirs, join(workDir, KERNEL_DIRECTORY), manifest.kernel, kernel);
    added = await useIfFree(dirs, added);
  }
  const stored = await adoptImage(dirs, join(workDir, IMAGE_DIRECTORY), image, as);
  return { image: stored.image, kernel: added, imported: true };
}

/** All that the bundle holds, if the store has it: then only the name may have to be given. */
async function alreadyThere(
  dirs: ImageDirs,
  manifest: BundleManifest,
  { name, fromPackage }: Naming,
): Promise<ImportResult | undefined> {
  const stored = await readStored(dirs, manifest.digest).catch(() => undefined);
  if (stored === undefined) return undefined;
  const kernel = manifest.kernel === undefined ? undefined : await readKernel(dirs, manifest.kernel);
  if (manifest.kernel !== undefined && kernel === undefined) return undefined;
  const agent = manifest.files.find((file) => file.path === AGENT_FILE);
  const agentThere = await sha256File(imageLayout(dirs).agent(manifest.arch)).catch(() => undefined);
  if (agent !== undefined && agent.sha256 !== agentThere) return undefined;
  await nameImage(dirs, { name, arch: manifest.arch, digest: manifest.digest, fromPackage });
  return {
    image: { ...stored.image, name },
    kernel: kernel && (await useIfFree(dirs, kernel)),
    imported: false,
  };
}

/** A kernel that comes with an image is used, unless the user has chosen one, or Debian's. */
async function useIfFree(dirs: ImageDirs, kernel: BuiltKernel): Promise<BuiltKernel> {
  return (await kernelIsChosen(dirs, kernel.arch)) ? kernel : await useKernel(dirs, kernel.name);
}

function noSpace(error: unknown, workDir: string): unknown {
  return orNoSpace(error, "no space left to unpack the guest bundle", workDir, { hint: roomHint(workDir) });
}

function roomText(bytes: number): string {
  return `there is no room for the guest bundle: it takes ${Math.ceil(bytes / 2 ** 20)} MiB`;
}

function roomHint(directory: string): string {
  return `Free some space (df -h '${directory}'), or see what is not used: smolvm image prune --dry-run`;
}
