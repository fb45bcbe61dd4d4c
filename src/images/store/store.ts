import { mkdir, open, readdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Arch } from "../../config/spec.ts";
import { SmolVMError } from "../../errors.ts";
import { writeDurably } from "../../host/files/write-durably.ts";
import type { Deadline } from "../../util/deadline.ts";
import { rename, rm } from "../../util/files-go.ts";
import type { Image } from "./image.ts";
import {
  type ImageDirs,
  type ImageLayout,
  imageLayout,
  MANIFEST_FILE,
  refFileName,
  refName,
} from "./layout.ts";
import { describeFiles, type Manifest, manifestDigest, parseManifest, toImage } from "./manifest.ts";
import { readText } from "./read-text.ts";
import { imageNotFound, isOwnImage, storeNames } from "./reference.ts";
import { requireTrusted, sharedLayout, shareFiles, unshareFiles } from "./shared.ts";
import { removeFirst } from "./users.ts";

/** An image and all that its manifest says. */
export interface StoredImage {
  readonly image: Image;
  readonly manifest: Manifest;
}

/**
 * The image that somebody means by a name or reference, or undefined: the user's own, else one for all users of this machine.
 * @throws SmolVMError CONFIG_INVALID, IMAGE_INVALID
 */
export async function readImage(dirs: ImageDirs, text: string, arch: Arch): Promise<StoredImage | undefined> {
  for (const layout of [imageLayout(dirs), sharedLayout(dirs)]) {
    if (layout === undefined) continue;
    for (const name of storeNames(text)) {
      const digest = await readRef(layout.ref(name, arch));
      const stored = digest === undefined ? undefined : await readStored(dirs, digest); // undefined: the cache was cleared by hand
      if (stored !== undefined) return { image: { ...stored.image, name }, manifest: stored.manifest };
    }
  }
  return undefined;
}

/** The error for an image that is not in the store; it says if there is one of that name for the other architecture. */
export async function missingImage(dirs: ImageDirs, text: string, arch: Arch): Promise<SmolVMError> {
  const missing = imageNotFound(text, arch);
  const hint = (await otherArchHint(dirs, text, arch)) ?? missing.hint;
  return new SmolVMError(missing.code, missing.message, { hint, details: missing.details });
}

/** What to say of an image that is in the store for the other architecture alone; undefined: nothing. */
export async function otherArchHint(dirs: ImageDirs, text: string, arch: Arch): Promise<string | undefined> {
  if (isOwnImage(text)) return undefined; // it can be built
  const other: Arch = arch === "x86_64" ? "aarch64" : "x86_64";
  const found = await readImage(dirs, text, other).catch(() => undefined); // a damaged one is none
  return found === undefined ? undefined : `There is one for ${other}: --arch ${other}`;
}

/** The image that was made by a recipe, under whatever name, or undefined. */
export async function findByRecipe(
  dirs: ImageDirs,
  recipe: string,
  arch: Arch,
): Promise<StoredImage | undefined> {
  for (const ref of [...(await listRefs(dirs)), ...(await sharedRefs(dirs))]) {
    if (ref.arch !== arch) continue;
    const found = await readImage(dirs, ref.name, arch).catch(() => undefined); // a damaged one is made again
    if (found?.manifest.recipe === recipe) return found;
  }
  return undefined;
}

/** The image of that digest, whatever names stand for it, or undefined. @throws SmolVMError IMAGE_INVALID */
export async function readStored(dirs: ImageDirs, digest: string): Promise<StoredImage | undefined> {
  const shared = sharedLayout(dirs);
  for (const layout of [imageLayout(dirs), shared]) {
    const dir = layout?.image(digest);
    const path = dir === undefined ? undefined : join(dir, MANIFEST_FILE);
    const text = path === undefined ? undefined : readText(path);
    if (text === undefined) continue;
    const manifest = parseManifest(text, path!);
    if (layout === shared) requireTrusted(layout!, digest, manifest);
    return { image: toImage(manifest, digest, dir!, layout === shared), manifest };
  }
  return undefined;
}

/** The names that stand for images of all users. */
async function sharedRefs({ sharedDir }: ImageDirs): Promise<{ name: string; arch: Arch }[]> {
  return sharedDir === undefined ? [] : listRefs({ cacheDir: sharedDir });
}

/** All images, sorted by name and architecture: the user's own, and those for all users whose names the user's do not stand before. */
export async function listImages(dirs: ImageDirs): Promise<Image[]> {
  const images: Image[] = [];
  const own = await listRefs(dirs);
  for (const { name, arch } of own) {
    const found = await readImage(dirs, name, arch);
    if (found !== undefined) images.push(found.image);
  }
  for (const { name, arch } of await sharedRefs(dirs)) {
    if (images.some((image) => image.name === name && image.arch === arch)) continue;
    const found = await readImage(dirs, name, arch).catch(() => undefined); // who names it is told what is wrong with it
    if (found !== undefined) images.push(found.image);
  }
  return images.sort((a, b) => (`${a.name} ${a.arch}` < `${b.name} ${b.arch}` ? -1 : 1));
}

/** The user's own images that no name stands for any more, because another has it: what still uses them needs them. By when they were made. */
export async function unnamedImages({ cacheDir }: ImageDirs): Promise<Image[]> {
  const layout = imageLayout({ cacheDir });
  const named = new Set<string | undefined>();
  for (const { name, arch } of await listRefs({ cacheDir }))
    named.add(await readRef(layout.ref(name, arch)).catch(() => undefined)); // a damaged one names nothing
  const images: Image[] = [];
  for (const digest of await readdir(layout.images).catch(() => [])) {
    if (named.has(digest)) continue;
    const found = await readStored({ cacheDir }, digest).catch(() => undefined); // prune takes a damaged one as well
    if (found !== undefined) images.push(found.image);
  }
  return images.sort((a, b) => (a.createdAt < b.createdAt ? -1 : 1));
}

/** What {@link inspectImage} tells. */
export interface ImageInspection extends StoredImage {
  /** only with `verify` */
  readonly verified: boolean | undefined;
}

/**
 * Everything about an image; with `verify` all its files are read and compared with the recorded hashes.
 * @throws SmolVMError IMAGE_NOT_FOUND, IMAGE_INVALID (details.files: what differs or is missing)
 */
export async function inspectImage(
  dirs: ImageDirs,
  name: string,
  arch: Arch,
  { verify = false }: { verify?: boolean } = {},
): Promise<ImageInspection> {
  const found = await readImage(dirs, name, arch);
  if (found === undefined) throw await missingImage(dirs, name, arch);
  if (verify) await verifyImage(found, found.image.directory);
  return { ...found, verified: verify ? true : undefined };
}

/** Whether something uses an image: which sandboxes, by their names. */
export type ImageUsers = (digest: string) => readonly string[] | Promise<readonly string[]>;

/**
 * Removes an image, and its files if no other name stands for them.
 * @param users asked first: an image that a sandbox uses is not removed
 * @throws SmolVMError IMAGE_NOT_FOUND, IMAGE_IN_USE
 */
export async function removeImage(
  dirs: ImageDirs,
  name: string,
  arch: Arch,
  users: ImageUsers,
): Promise<Image> {
  const image = await removableImage(dirs, name, arch, users);
  await rm(imageLayout(dirs).ref(image.name, arch), { force: true });
  await removeUnnamed(dirs, image.digest);
  return image;
}

/**
 * Gives one of the user's images (root's) to all users of this machine. Its files are read and compared first.
 * @throws SmolVMError IMAGE_NOT_FOUND, IMAGE_INVALID, FILE_PERMISSION, NOT_SUPPORTED (a host without such a place), TIMEOUT, ABORTED
 */
export async function shareImage(
  dirs: ImageDirs,
  name: string,
  arch: Arch,
  deadline: Deadline,
): Promise<Image> {
  const layout = requireShared(dirs);
  const { image, manifest } = await inspectImage({ cacheDir: dirs.cacheDir }, name, arch, { verify: true });
  await shareFiles(layout, { name: image.name, arch, directory: image.directory, manifest }, deadline);
  return { ...image, ...toImage(manifest, image.digest, layout.image(image.digest), true), name: image.name };
}

/**
 * Takes an image from all users of this machine. The user's own of that name stays.
 * @throws SmolVMError IMAGE_NOT_FOUND, IMAGE_IN_USE (of running sandboxes, whosever they are), FILE_PERMISSION, NOT_SUPPORTED
 */
export async function unshareImage(dirs: ImageDirs, text: string, arch: Arch): Promise<Image> {
  const layout = requireShared(dirs);
  const cacheDir = dirs.sharedDir!;
  const found = await readImage({ cacheDir }, text, arch);
  if (found === undefined) throw await missingImage(dirs, text, arch);
  const { name, digest } = found.image;
  const others: string[] = [];
  for (const ref of await listRefs({ cacheDir })) {
    if (ref.name === name && ref.arch === arch) continue;
    others.push((await readRef(layout.ref(ref.name, ref.arch)).catch(() => undefined)) ?? "");
  }
  await unshareFiles(layout, { name, arch, digest }, others);
  return found.image;
}

function requireShared(dirs: ImageDirs): ImageLayout {
  if (dirs.sharedDir !== undefined) return imageLayout({ cacheDir: dirs.sharedDir });
  throw new SmolVMError("NOT_SUPPORTED", "there is no place for images of all users on this system", {
    hint: "Give another user an image as a file: smolvm image export NAME FILE",
  });
}

/** The image that {@link removeImage} would remove. @throws as that does */
export async function removableImage(
  dirs: ImageDirs,
  name: string,
  arch: Arch,
  users: ImageUsers,
): Promise<Image> {
  const found = await readImage(dirs, name, arch);
  if (found === undefined) throw await missingImage(dirs, name, arch);
  if (readText(imageLayout(dirs).ref(found.image.name, arch)) === undefined) {
    throw new SmolVMError("CONFIG_INVALID", `the image '${name}' is for all users of this machine`, {
      hint: `Root takes it from them: sudo smolvm image rm --shared ${name}`,
      details: { image: name, arch },
    });
  }
  const usedBy = await users(found.image.digest);
  if (usedBy.length > 0) {
    throw new SmolVMError("IMAGE_IN_USE", `the image '${name}' is used by ${usedBy.join(", ")}`, {
      hint: removeFirst(usedBy),
      details: { image: name, arch, usedBy },
    });
  }
  return found.image;
}

/**
 * Takes a finished build in: its files are described, then it is adopted.
 * @param dir with all files of the manifest but manifest.json; on the same file system as the store
 */
export async function addImage(
  dirs: ImageDirs,
  dir: string,
  draft: Omit<Manifest, "files" | "version" | "createdAt">,
): Promise<StoredImage> {
  const paths = [
    draft.rootfs.file,
    draft.kernel.file,
    ...draft.seeds.files,
    ...draft.modules.map((module) => module.file),
  ];
  return adoptImage(dirs, dir, {
    version: 1,
    ...draft,
    createdAt: new Date().toISOString(),
    files: await describeFiles(dir, paths),
  });
}

/**
 * Takes a directory in that holds what its manifest says: it gets its final name, then the reference points at it. An
 * image of the same content that is there already is kept.
 * @param dir with all files of the manifest; on the same file system as the store
 * @param options `name`: what it is to be called, default the manifest's name; `fromPackage`: see {@link nameImage}; `onDisk`: files of which all is on the disk
 *   already, default none
 */
export async function adoptImage(
  dirs: ImageDirs,
  dir: string,
  manifest: Manifest,
  {
    name = manifest.name,
    fromPackage = false,
    onDisk = new Set(),
  }: { name?: string; fromPackage?: boolean; onDisk?: ReadonlySet<string> } = {},
): Promise<StoredImage> {
  const layout = imageLayout(dirs);
  for (const { path } of manifest.files) if (!onDisk.has(path)) await syncFile(join(dir, path));
  const digest = manifestDigest(manifest);
  const final = layout.image(digest);
  await writeDurably(join(dir, MANIFEST_FILE), `${JSON.stringify(manifest, undefined, 2)}\n`);
  await mkdir(dirname(final), { recursive: true, mode: 0o700 });
  if (readText(join(final, MANIFEST_FILE)) === undefined) {
    await rm(final, { recursive: true, force: true }); // a directory without its manifest
    await rename(dir, final);
  } else {
    // Same content: only the manifest may tell newer things (time, recipe).
    await rename(join(dir, MANIFEST_FILE), join(final, MANIFEST_FILE));
    await rm(dir, { recursive: true, force: true });
  }
  await nameImage(dirs, { name, arch: manifest.arch, digest, fromPackage });
  return { image: { ...toImage(manifest, digest, final), name }, manifest };
}

/**
 * Lets a name stand for an image.
 * @param fromPackage it was taken from the guest package beside smolvm, and is to follow it
 */
export async function nameImage(
  dirs: ImageDirs,
  { name, arch, digest, fromPackage }: { name: string; arch: Arch; digest: string; fromPackage: boolean },
): Promise<void> {
  const layout = imageLayout(dirs);
  await mkdir(layout.refs, { recursive: true, mode: 0o700 });
  storeNames(name); // or it could not be found again
  const path = layout.ref(name, arch);
  const inFile = refName(refFileName(name)) === undefined ? { name } : {};
  const reference = { digest, ...inFile, ...(fromPackage ? { fromPackage } : {}) };
  await writeDurably(path, `${JSON.stringify(reference)}\n`);
}

/** Takes a name away; the image stays, for its other names. */
export async function removeName(dirs: ImageDirs, name: string, arch: Arch): Promise<void> {
  await rm(imageLayout(dirs).ref(name, arch), { force: true });
}

/** Whether the image that a reference names is to follow the guest package beside smolvm. */
export function comesFromPackage(ref: string): boolean {
  const text = readText(ref);
  return text !== undefined && (JSON.parse(text) as { fromPackage?: unknown }).fromPackage === true;
}

async function removeUnnamed(dirs: ImageDirs, digest: string): Promise<boolean> {
  const layout = imageLayout(dirs);
  for (const { name, arch } of await listRefs(dirs)) {
    if ((await readRef(layout.ref(name, arch))) === digest) return false;
  }
  await rm(layout.image(digest), { recursive: true, force: true });
  return true;
}

/** The names that stand for images. */
export async function listRefs(dirs: ImageDirs): Promise<{ name: string; arch: Arch }[]> {
  const names = await readdir(imageLayout(dirs).refs).catch(() => []);
  return names.flatMap((file) => {
    const match = /^(.+)\.(x86_64|aarch64)\.json$/.exec(file);
    const name =
      match === null ? undefined : (refName(match[1]!) ?? nameInside(join(imageLayout(dirs).refs, file)));
    return name === undefined ? [] : [{ name, arch: match![2] as Arch }];
  });
}

/** The name that stands in a reference's file. */
function nameInside(path: string): string | undefined {
  try {
    const { name } = JSON.parse(readText(path) ?? "") as { name?: unknown };
    return typeof name === "string" ? name : undefined;
  } catch {
    return undefined;
  }
}

/** The digest that a name's file holds, or undefined if there is no such file. @throws SmolVMError IMAGE_INVALID */
export async function readRef(path: string): Promise<string | undefined> {
  const text = readText(path);
  if (text === undefined) return undefined;
  try {
    const { digest } = JSON.parse(text) as { digest?: unknown };
    if (typeof digest === "string" && /^[0-9a-f]{64}$/.test(digest)) return digest;
  } catch {
    // told below
  }
  throw new SmolVMError("IMAGE_INVALID", `the image reference '${path}' is damaged`, {
    hint: `Remove it and build the image again: rm '${path}'`,
  });
}

async function verifyImage({ manifest, image }: StoredImage, dir: string): Promise<void> {
  const wrong: string[] = [];
  for (const file of manifest.files) {
    const [now] = await describeFiles(dir, [file.path]).catch(() => []);
    if (now?.sha256 !== file.sha256)
      wrong.push(`${file.path} ${now === undefined ? "is missing" : "has changed"}`);
  }
  if (manifestDigest(manifest) !== image.digest) wrong.push(`${MANIFEST_FILE} has changed`);
  if (wrong.length === 0) return;
  throw new SmolVMError("IMAGE_INVALID", `the image '${image.name}' is damaged: ${wrong.join(", ")}`, {
    hint:
      image.origin === undefined
        ? `Build it again: smolvm image build ${image.name} --force`
        : `Remove it and pull it again: smolvm image rm ${image.name} && smolvm image pull ${image.name}`,
    details: { image: image.name, arch: image.arch, files: wrong },
  });
}

/** A crash of the host must not leave an image whose files are empty. */
export async function syncFile(path: string): Promise<void> {
  const file = await open(path, "r+");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
