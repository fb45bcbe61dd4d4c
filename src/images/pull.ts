import { createHash } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { OnProgress } from "../config/progress.ts";
import type { Arch } from "../config/spec.ts";
import type { SmolVMError } from "../errors.ts";
import { failpoint } from "../host/failpoint.ts";
import { writeDurably } from "../host/files/write-durably.ts";
import { concurrentlyWithin } from "../util/concurrently.ts";
import type { Deadline } from "../util/deadline.ts";
import { rename } from "../util/files-go.ts";
import { orNoSpace } from "../util/no-space.ts";
import { lowerImage, ownDirectories } from "./lower-image.ts";
import { parseImageDocument } from "./oci/config.ts";
import { type Descriptor, type ImageManifest, invalid, parseManifestDocument } from "./oci/manifest.ts";
import { choosePlatform } from "./oci/platform.ts";
import { fetchBlob } from "./registry/blobs.ts";
import type { ImageSource, SourceDocument } from "./registry/source.ts";
import { acquireLock } from "./store/build-lock.ts";
import { keepDownloadsWithin } from "./store/downloads.ts";
import type { ImageOrigin } from "./store/image.ts";
import { type ImageDirs, imageLayout } from "./store/layout.ts";
import { describeFiles, type Manifest } from "./store/manifest.ts";
import { linkOrCopy } from "./store/shared.ts";
import { adoptImage, findByRecipe, nameImage, type StoredImage, syncFile } from "./store/store.ts";
import { inWorkDir } from "./store/work-dir.ts";
import { UNPACK_RECIPE } from "./unpack/recipe.ts";
import { unpackImage } from "./unpack/unpack-image.ts";

/** Layers that are downloaded at a time. */
const PARALLEL = 3;
const ROOTFS_FILE = "rootfs.erofs";

export interface PullOptions {
  readonly arch: Arch;
  /** what the image is called in the store */
  readonly name: string;
  /** where it is from, in full: "docker.io/library/python:3.12" */
  readonly reference: string;
  /** it was made here, and is taken in like one that is pulled */
  readonly made?: ImageOrigin["made"];
  /** what the reference says that its manifest, or index, must be: "sha256:..." */
  readonly digest?: string | undefined;
  /** an image of ours: its kernel and empty disks are what the pulled one boots with */
  readonly basis: () => Promise<StoredImage>;
  /** most bytes of downloads that stay when it is over; default: all stay */
  readonly downloadsMaxBytes?: number | undefined;
  readonly deadline: Deadline;
  /** stages: resolve, wait, pull (with a fraction), unpack (with a fraction), store */
  readonly onProgress?: OnProgress | undefined;
}

export interface PullResult {
  readonly stored: StoredImage;
  /** false: the image was there as it is now at its source */
  readonly pulled: boolean;
}

/**
 * Takes an image in: what is missing of it is downloaded and checked, and its layers become one read-only file system, which lies in the store beside
 * what it boots with. The image has its name only when all of it is there; until then what was downloaded is kept for the next pull.
 * @throws SmolVMError IMAGE_NOT_FOUND, IMAGE_INVALID, NOT_SUPPORTED, REGISTRY_AUTH, REGISTRY_LIMITED, REGISTRY_FAILED, NO_SPACE, TIMEOUT, ABORTED;
 *   what `basis` throws
 */
export async function pullImage(
  dirs: ImageDirs,
  source: ImageSource,
  options: PullOptions,
): Promise<PullResult> {
  const { arch, name, deadline, onProgress } = options;
  onProgress?.({ stage: "resolve", message: `looking up ${name}` });
  const { manifest, digest } = await resolveManifest(dirs, source, options);
  const basis = await options.basis();
  const recipe = createHash("sha256")
    .update(JSON.stringify(["oci", UNPACK_RECIPE, digest, arch, basis.image.digest]))
    .digest("hex");
  const tidy = (): Promise<void> =>
    keepDownloadsWithin(
      dirs,
      options.downloadsMaxBytes ?? Number.POSITIVE_INFINITY,
      new Set(manifestBlobs(manifest, digest)),
    );
  const there = await findByRecipe(dirs, recipe, arch);
  if (there !== undefined) return { stored: await named(dirs, there, options), pulled: false };

  const files = await download(dirs, source, manifest, options);
  const document = parseImageDocument(await readFile(files.config), arch, name);
  if (document.diffIds.length !== manifest.layers.length)
    throw invalid(
      name,
      `it has ${manifest.layers.length} layers, and its config names ${document.diffIds.length}`,
    );
  const origin: ImageOrigin = {
    ...(options.made === undefined ? {} : { made: options.made }),
    reference: options.reference,
    manifest: digest,
    recipe: UNPACK_RECIPE,
    config: document.config,
    layers: manifest.layers,
    configDigest: manifest.config.digest,
    history: document.history,
    created: document.created,
  };

  const layout = imageLayout(dirs);
  const release = await acquireLock(layout.buildLock, deadline, (holder) => {
    onProgress?.({ stage: "wait", message: `another process makes an image (pid ${holder.pid})` });
  });
  try {
    const now = await findByRecipe(dirs, recipe, arch);
    if (now !== undefined) return { stored: await named(dirs, now, options), pulled: false };
    return await inWorkDir(layout.work, async (workDir) => {
      try {
        const rootfs = join(workDir, ROOTFS_FILE);
        const base = await lowerImage(dirs, manifest, document, arch);
        const layers = files.layers.map((path, index) => ({ path, diffId: document.diffIds[index]! }));
        await unpackImage(rootfs, layers, {
          image: name,
          identity: `${digest} ${UNPACK_RECIPE}`,
          directories: ownDirectories(document),
          base,
          onDamagedBase: () =>
            onProgress?.({
              stage: "unpack",
              message: `the image '${base?.name}' is damaged (smolvm image inspect '${base?.name}' --verify): unpacking all layers of ${name} instead`,
            }),
          deadline,
          onFraction: (fraction) => onProgress?.({ stage: "unpack", message: `unpacking ${name}`, fraction }),
        });
        failpoint("pull unpacked");
        onProgress?.({ stage: "store", message: `storing ${name}` });
        const stored = await assemble(dirs, workDir, rootfs, { ...options, basis, recipe, origin });
        await tidy();
        return { stored, pulled: true };
      } catch (error) {
        throw orNoSpace(error, `no space left to unpack '${name}'`, workDir, {
          hint: `Free some space (df -h '${workDir}'), or see what is not used: smolvm image prune --dry-run`,
        });
      }
    });
  } finally {
    await release();
  }
}

/** The names of an image's downloads: hex digits. */
function manifestBlobs({ config, layers }: ImageManifest, digest: string): string[] {
  return [digest, config.digest, ...layers.map((layer) => layer.digest)].map((one) =>
    one.replace("sha256:", ""),
  );
}

/** The same image under one more name: it may be the one that it has. */
async function named(
  dirs: ImageDirs,
  { image, manifest }: StoredImage,
  { name, arch }: PullOptions,
): Promise<StoredImage> {
  if (image.name !== name) await nameImage(dirs, { name, arch, digest: image.digest, fromPackage: false });
  return { image: { ...image, name }, manifest };
}

/** The manifest for the architecture, by way of the index if there is one, each checked by its digest. */
async function resolveManifest(
  dirs: ImageDirs,
  source: ImageSource,
  { arch, digest, deadline, name }: PullOptions,
): Promise<{ manifest: ImageManifest; digest: string }> {
  let { document, found } = await rightDocument(
    source,
    undefined,
    () => source.top(deadline),
    (_, found) =>
      digest === undefined || found === digest
        ? undefined
        : invalid(name, `its manifest is ${found}, and ${digest} was asked for`),
  );
  // An index may hold indexes; nobody needs many.
  for (let depth = 0; depth < 3; depth++) {
    const parsed = parseManifestDocument(document.bytes, document.mediaType, name);
    if (parsed.kind === "manifest") {
      // To where layers are: to give the image on, it is needed as it came.
      await writeDurably(imageLayout(dirs).blob(found), document.bytes);
      return { manifest: parsed, digest: found };
    }
    const chosen = choosePlatform(parsed, arch, name);
    ({ document, found } = await rightDocument(
      source,
      chosen.digest,
      () => source.document(chosen, deadline),
      ({ bytes }, found) =>
        found === chosen.digest && bytes.length === chosen.size
          ? undefined
          : invalid(name, `what came for the manifest ${chosen.digest} is ${found}`),
    ));
  }
  throw invalid(name, "it is an index of indexes of indexes");
}

/**
 * A document that is what it should be, of whichever place has it.
 * @param digest undefined: the top
 * @param fault what is wrong with one, if anything is
 */
async function rightDocument(
  source: ImageSource,
  digest: string | undefined,
  get: () => Promise<SourceDocument>,
  fault: (document: SourceDocument, found: string) => SmolVMError | undefined,
): Promise<{ document: SourceDocument; found: string }> {
  for (;;) {
    const document = await get();
    const found = digestOf(document);
    const why = fault(document, found);
    if (why === undefined) return { document, found };
    if (source.passBy?.(digest, why) !== true) throw why;
  }
}

function digestOf({ bytes }: SourceDocument): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

/** All blobs of an image, several at a time. */
async function download(
  dirs: ImageDirs,
  source: ImageSource,
  { config, layers }: ImageManifest,
  { name, deadline, onProgress }: PullOptions,
): Promise<{ config: string; layers: string[] }> {
  const blobs = new Map<string, Descriptor>([config, ...layers].map((blob) => [blob.digest, blob]));
  const all = [...blobs.values()];
  const total = all.reduce((sum, { size }) => sum + size, 0);
  let done = 0;
  const message = `downloading ${name} (${layers.length} layers, ${Math.ceil(total / 2 ** 20)} MiB)`;
  onProgress?.({ stage: "pull", message, fraction: 0 });
  const paths = new Map<string, string>();
  await concurrentlyWithin(deadline, `downloading ${name}`, all.length, PARALLEL, async (index, own) => {
    const blob = all[index]!;
    const path = await fetchBlob(dirs, source, blob, {
      deadline: own,
      onBytes: (count) => {
        done += count;
        onProgress?.({ stage: "pull", message, fraction: Math.min(0.99, done / Math.max(1, total)) });
      },
      onWait: (pid) =>
        onProgress?.({ stage: "wait", message: `another process downloads the same layer (pid ${pid})` }),
    });
    paths.set(blob.digest, path);
  });
  return { config: paths.get(config.digest)!, layers: layers.map(({ digest }) => paths.get(digest)!) };
}

/** Puts the file system together with what it boots with; that is linked, so that it takes no room again. */
async function assemble(
  dirs: ImageDirs,
  workDir: string,
  rootfs: string,
  {
    arch,
    name,
    basis,
    recipe,
    origin,
  }: Omit<PullOptions, "basis"> & { basis: StoredImage; recipe: string; origin: ImageOrigin },
): Promise<StoredImage> {
  const target = join(workDir, "image");
  await mkdir(target);
  await rename(rootfs, join(target, ROOTFS_FILE));
  // The disk writes while the processor hashes.
  const [described] = await Promise.all([
    describeFiles(target, [ROOTFS_FILE]),
    syncFile(join(target, ROOTFS_FILE)),
  ]);
  const { kernel, seeds, modules } = basis.manifest;
  const shared = [kernel.file, ...seeds.files, ...modules.map(({ file }) => file)];
  const onDisk = new Set([ROOTFS_FILE]);
  for (const file of shared) {
    await mkdir(dirname(join(target, file)), { recursive: true });
    const how = await linkOrCopy(join(basis.image.directory, file), join(target, file));
    if (how === "linked") onDisk.add(file);
  }
  const manifest: Manifest = {
    version: 1,
    name,
    arch,
    createdAt: new Date().toISOString(),
    recipe,
    rootfs: { file: ROOTFS_FILE, format: "erofs" },
    kernel,
    seeds,
    modules,
    packages: [],
    origin,
    files: [...described, ...basis.manifest.files.filter(({ path }) => shared.includes(path))],
  };
  failpoint("pull store");
  return adoptImage(dirs, target, manifest, { name, onDisk });
}
