import { createReadStream, type ReadStream } from "node:fs";
import { copyFile, mkdir, open, readFile, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Arch } from "../config/spec.ts";
import { SmolVMError } from "../errors.ts";
import { writeDurably } from "../host/files/write-durably.ts";
import { partialPath, removeStalePartials } from "../host/process/partial-file.ts";
import type { Deadline } from "../util/deadline.ts";
import { rename, rm } from "../util/files-go.ts";
import { messageOf } from "../util/message-of.ts";
import { isNoSpace, orNoSpace } from "../util/no-space.ts";
import { encodeEntry, padding } from "../util/tar/header.ts";
import { type Descriptor, layoutBlob, MEDIA_TYPES } from "./oci/manifest.ts";
import { GO_ARCH } from "./oci/platform.ts";
import type { ImageOrigin } from "./store/image.ts";
import { type ImageDirs, imageLayout } from "./store/layout.ts";
import { missingImage, readImage, type StoredImage } from "./store/store.ts";

/** Everything that an image is, as it came: it can be given on, and is the same image then. */
export interface SavedParts {
  readonly name: string;
  readonly manifest: Descriptor;
  readonly origin: ImageOrigin;
  /** config and layers, each once */
  readonly blobs: readonly { readonly descriptor: Descriptor; readonly path: string }[];
  readonly manifestPath: string;
}

/**
 * The parts of a pulled image that are kept.
 * @throws SmolVMError IMAGE_NOT_FOUND; NOT_SUPPORTED for an image that smolvm made itself; IMAGE_INVALID if downloads of it were pruned
 */
export async function savedParts(dirs: ImageDirs, text: string, arch: Arch): Promise<SavedParts> {
  const found = await readImage(dirs, text, arch);
  if (found === undefined) throw await missingImage(dirs, text, arch);
  return await storedParts(dirs, found);
}

/**
 * {@link savedParts} of an image that was found.
 * @throws SmolVMError as that
 */
export async function storedParts(dirs: ImageDirs, { image }: StoredImage): Promise<SavedParts> {
  const { name, origin } = image;
  if (origin === undefined) {
    throw new SmolVMError(
      "NOT_SUPPORTED",
      `'${name}' was made by smolvm itself, and has no layers to give on`,
      {
        hint: `The command line makes one: smolvm image save ${name} FILE. Another smolvm takes it as a guest bundle: smolvm image export ${name} FILE`,
      },
    );
  }
  const pathOf = imageLayout(dirs).blob;
  const manifestPath = pathOf(origin.manifest);
  const bytes = await readFile(manifestPath).catch(() => undefined);
  const parsed =
    bytes === undefined
      ? {}
      : (JSON.parse(bytes.toString("utf8")) as { mediaType?: string; config?: Descriptor });
  const config = parsed.config;
  const list = config === undefined ? [] : [config, ...origin.layers];
  const blobs = [...new Map(list.map((descriptor) => [descriptor.digest, descriptor])).values()].map(
    (descriptor) => ({
      descriptor,
      path: pathOf(descriptor.digest),
    }),
  );
  const there = await Promise.all(
    blobs.map(
      async ({ path, descriptor }) => (await stat(path).catch(() => undefined))?.size === descriptor.size,
    ),
  );
  if (bytes === undefined || config === undefined || there.includes(false)) {
    throw new SmolVMError(
      "IMAGE_INVALID",
      `the layers of '${name}' are not kept any more, only what was made of them`,
      {
        hint:
          origin.made === undefined
            ? `Remove it and pull it again: smolvm image rm ${name} && smolvm image pull ${origin.reference}`
            : "It was made on this machine: make it again. Sandboxes can still be made of it.",
        details: { image: name },
      },
    );
  }
  const mediaType = parsed.mediaType ?? MEDIA_TYPES.ociManifest;
  return {
    name,
    manifest: { mediaType, digest: origin.manifest, size: bytes.length },
    origin,
    blobs,
    manifestPath,
  };
}

export interface SaveOptions {
  readonly arch: Arch;
  readonly deadline: Deadline;
  /** what it is, of an image that smolvm has made itself (vm/commit/own-parts.ts); default: what was pulled */
  readonly own?: SavedParts | undefined;
}

/**
 * Writes an image into a directory in the OCI layout: others that are in it stay.
 * @param tag what it is called there; one that has that tag loses it
 * @throws SmolVMError as {@link savedParts}
 */
export async function saveLayout(
  dirs: ImageDirs,
  text: string,
  { arch, directory, tag, deadline, own }: SaveOptions & { directory: string; tag: string },
): Promise<SavedParts> {
  const parts = own ?? (await savedParts(dirs, text, arch));
  await writeLayout(directory, parts, { arch, tag, deadline }).catch((error: unknown) => {
    throw cannotWrite(error, directory);
  });
  return parts;
}

async function writeLayout(
  directory: string,
  parts: SavedParts,
  { arch, tag, deadline }: SaveOptions & { tag: string },
): Promise<void> {
  await mkdir(join(directory, "blobs", "sha256"), { recursive: true });
  for (const { digest, path } of files(parts)) {
    deadline.check();
    const target = join(directory, layoutBlob(digest));
    await copyFile(path, `${target}.part`);
    await rename(`${target}.part`, target);
  }
  const before = await readFile(join(directory, "index.json"), "utf8").catch(() => undefined);
  const others = before === undefined ? [] : taggedIn(before, directory);
  const kept = others.filter(({ annotations }) => annotations?.[TAG] !== tag);
  const entry = {
    ...parts.manifest,
    platform: { os: "linux", architecture: GO_ARCH[arch] },
    annotations: { [TAG]: tag },
  };
  await writeDurably(join(directory, "oci-layout"), LAYOUT_VERSION);
  await writeDurably(
    join(directory, "index.json"),
    JSON.stringify({ schemaVersion: 2, manifests: [...kept, entry] }),
  );
}

/** What an index lists. @throws SmolVMError IMAGE_INVALID if it is none: what is in that directory is not replaced */
function taggedIn(index: string, directory: string): Tagged[] {
  try {
    const { manifests = [] } = JSON.parse(index) as { manifests?: Tagged[] };
    if (Array.isArray(manifests)) return manifests;
  } catch {
    // told below
  }
  throw new SmolVMError("IMAGE_INVALID", `the index.json in '${directory}' is none of an OCI layout`, {
    hint: "Name another directory, or a new one.",
  });
}

const TAG = "org.opencontainers.image.ref.name";
const LAYOUT_VERSION = '{"imageLayoutVersion":"1.0.0"}';

interface Tagged {
  readonly annotations?: Readonly<Record<string, string>>;
}

/** What is in a layout of it, each once. */
function files({
  manifest,
  blobs,
  manifestPath,
}: SavedParts): { digest: string; path: string; size: number }[] {
  return [
    { digest: manifest.digest, path: manifestPath, size: manifest.size },
    ...blobs.map(({ descriptor, path }) => ({ digest: descriptor.digest, path, size: descriptor.size })),
  ];
}

/**
 * Writes an image into an archive that Docker, Podman and skopeo read, as `docker save` of version 25 and later does: the OCI layout as a tar, with
 * Docker's own list in it. The same image is the same bytes.
 * @param file made, or replaced once it is whole
 * @throws SmolVMError as {@link savedParts}
 */
export async function saveArchive(
  dirs: ImageDirs,
  text: string,
  { arch, file, deadline, own }: SaveOptions & { file: string },
): Promise<SavedParts> {
  const parts = own ?? (await savedParts(dirs, text, arch));
  const name =
    parts.name.includes(":") && !/^(?:oci|docker-archive):/.test(parts.name) ? parts.name : undefined;
  const annotations =
    name === undefined
      ? {}
      : { annotations: { "io.containerd.image.name": name, [TAG]: name.slice(name.lastIndexOf(":") + 1) } };
  const documents: [string, string][] = [
    ["oci-layout", LAYOUT_VERSION],
    ["index.json", JSON.stringify({ schemaVersion: 2, manifests: [{ ...parts.manifest, ...annotations }] })],
    [
      "manifest.json",
      JSON.stringify([
        {
          Config: layoutBlob(parts.origin.configDigest),
          RepoTags: name === undefined || name.includes("@") ? [] : [name],
          Layers: parts.origin.layers.map(({ digest }) => layoutBlob(digest)),
        },
      ]),
    ],
  ];
  const temporary = partialPath(file);
  await removeStalePartials(file);
  if ((await stat(file).catch(() => undefined))?.isDirectory() === true)
    throw new SmolVMError("FILE_TYPE", `'${file}' is a directory`, {
      hint: `Name the file to write, or write oci:${file} for a directory in the OCI layout.`,
    });
  const out = await open(temporary, "w", 0o644).catch((error: unknown) => {
    throw cannotWrite(error, file);
  });
  try {
    const write = async (
      path: string,
      size: number,
      content: Iterable<Uint8Array> | ReadStream,
    ): Promise<void> => {
      await out.write(header(path, size));
      let written = 0;
      for await (const chunk of content as AsyncIterable<Uint8Array>) {
        deadline.check();
        written += chunk.length;
        for (let done = 0; done < chunk.length; ) done += (await out.write(chunk, done)).bytesWritten;
      }
      if (written !== size)
        throw new SmolVMError("IMAGE_INVALID", `'${path}' of '${parts.name}' has changed`);
      await out.write(new Uint8Array(padding(size)));
    };
    // An ordinary user's skopeo would give one that it has to make itself to root, and fail.
    for (const path of ["blobs/", "blobs/sha256/"]) await out.write(header(path, 0));
    for (const part of files(parts).sort((a, b) => (a.digest < b.digest ? -1 : 1)))
      await write(
        layoutBlob(part.digest),
        part.size,
        createReadStream(part.path, { highWaterMark: 1024 * 1024 }),
      );
    for (const [path, document] of documents)
      await write(path, Buffer.byteLength(document), [Buffer.from(document)]);
    await out.write(new Uint8Array(1024));
    await out.sync();
    await out.close();
    await rename(temporary, file);
  } catch (error) {
    await out.close().catch(() => {}); // it may be closed
    await rm(temporary, { force: true });
    throw cannotWrite(error, file);
  }
  return parts;
}

function cannotWrite(error: unknown, file: string): unknown {
  if (error instanceof SmolVMError) return error;
  if (isNoSpace(error)) return orNoSpace(error, `no space left for '${file}'`, dirname(file));
  const { code } = error as NodeJS.ErrnoException;
  if (code === "ENOENT" || code === "ENOTDIR")
    return new SmolVMError(
      "FILE_NOT_FOUND",
      `there is no directory '${dirname(file)}' to write '${basename(file)}' to`,
      {
        hint: `Make it first: mkdir -p '${dirname(file)}'`,
        cause: error,
      },
    );
  return new SmolVMError("HOST_FAILED", `'${file}' cannot be written: ${messageOf(error)}`, { cause: error });
}

/** @param path that of a directory ends with a slash */
function header(path: string, size: number): Uint8Array {
  const kind = path.endsWith("/") ? { mode: 0o755, type: "5" } : { mode: 0o644, type: "0" };
  const plain = { ...kind, uid: 0, gid: 0, mtime: 0, linkName: new Uint8Array(0) };
  return encodeEntry({ ...plain, name: Buffer.from(path), size });
}
