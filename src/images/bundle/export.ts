import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { open, readFile, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { DEFAULT_IMAGE } from "../../config/defaults.ts";
import type { OnProgress } from "../../config/progress.ts";
import type { Arch } from "../../config/spec.ts";
import { SmolVMError } from "../../errors.ts";
import { partialPath, removeStalePartials } from "../../host/process/partial-file.ts";
import type { Deadline } from "../../util/deadline.ts";
import { rename, rm } from "../../util/files-go.ts";
import { makeDirectory } from "../../util/make-directory.ts";
import { messageOf } from "../../util/message-of.ts";
import { isNoSpace, orNoSpace } from "../../util/no-space.ts";
import { writeCpio } from "../formats/cpio.ts";
import { TAR_END, tarHeader, tarPadding } from "../formats/tar.ts";
import { initramfsEntries } from "../kernel/initramfs.ts";
import { kernelRecipeDir } from "../kernel-build/recipe.ts";
import { kernelLayout } from "../store/kernel-layout.ts";
import { anyKernel, type BuiltKernel } from "../store/kernel-store.ts";
import { type ImageDirs, MANIFEST_FILE } from "../store/layout.ts";
import type { ManifestFile } from "../store/manifest.ts";
import { isPlainName } from "../store/reference.ts";
import { missingImage, readImage, type StoredImage } from "../store/store.ts";
import {
  AGENT_FILE,
  ARCHIVE_PREFIX,
  BUNDLE_FILE,
  type BundleManifest,
  guestPackageName,
  IMAGE_DIRECTORY,
  INITRAMFS_FILE,
  KERNEL_DIRECTORY,
  PATCH_DIRECTORY,
  SOURCES_FILE,
} from "./bundle-manifest.ts";
import { sourceReferences, sourcesText } from "./sources.ts";

export interface ExportOptions {
  readonly name: string;
  readonly arch: Arch;
  /** the file to make */
  readonly target: string;
  /** overwrite it */
  readonly force?: boolean | undefined;
  /** the static agent for that architecture */
  readonly agentPath: string;
  /** of this smolvm */
  readonly version: string;
  readonly deadline: Deadline;
  /** stages: pack (with a fraction) */
  readonly onProgress?: OnProgress | undefined;
}

export interface ExportResult {
  /** absolute */
  readonly path: string;
  readonly sizeBytes: number;
  readonly manifest: BundleManifest;
}

/** One file that goes into the archive: where its bytes are. */
interface Part extends ManifestFile {
  readonly from: string | Uint8Array;
}

/** npm gives this time to all that it packs: with it, the same content is the same archive. */
const MTIME_S = 499_162_500;

/**
 * Writes an image, with the fast kernel (the chosen one, else the newest) and the agent, as a guest bundle. The same content
 * gives the same bytes. What has changed since it was built is found on the way, and nothing is written then.
 * @throws SmolVMError IMAGE_NOT_FOUND, CONFIG_INVALID (its name is a reference), IMAGE_INVALID, FILE_EXISTS, DEPENDENCY_MISSING (no agent), NO_SPACE, HOST_FAILED
 */
export async function exportBundle(dirs: ImageDirs, options: ExportOptions): Promise<ExportResult> {
  const { name, arch, deadline } = options;
  const target = resolve(options.target);
  await requireFree(target, options.force ?? false);
  const stored = await readImage(dirs, name, arch);
  if (stored === undefined) throw await missingImage(dirs, name, arch);
  if (!isPlainName(stored.image.name)) {
    throw new SmolVMError(
      "CONFIG_INVALID",
      `a guest bundle's image has a plain name, and '${name}' is none`,
      {
        hint: `Give it one first: smolvm image tag ${name} mine && smolvm image export mine FILE. Docker's tools read: smolvm image save ${name} FILE`,
        details: { image: name },
      },
    );
  }
  const kernel = await anyKernel(dirs, arch);
  const sources = sourceReferences(stored.manifest, kernel?.manifest);
  const about = { name, arch, smolvm: options.version };
  const agent = await readAgent(options.agentPath);
  const parts: Part[] = [
    describe(SOURCES_FILE, Buffer.from(sourcesText(about, sources, kernel?.manifest))),
    ...(await imageParts(stored)),
    ...(kernel === undefined ? [] : await kernelParts(dirs, kernel)),
    describe(AGENT_FILE, agent),
    describe(INITRAMFS_FILE, writeCpio(initramfsEntries(agent, []))),
  ];
  const manifest: BundleManifest = {
    format: "smolvm-guest-bundle",
    version: 1,
    ...about,
    digest: stored.image.digest,
    ...(kernel === undefined ? {} : { kernel: kernel.name }),
    sources,
    files: parts.map(({ path, sha256, sizeBytes }) => ({ path, sha256, sizeBytes })),
  };
  const head = [describe("package.json", json(packageJson(manifest))), describe(BUNDLE_FILE, json(manifest))];
  await removeStalePartials(target);
  const temporary = partialPath(target);
  const total = parts.reduce((sum, part) => sum + part.sizeBytes, 0);
  let done = 0;
  const onBytes = (count: number): void => {
    done += count;
    options.onProgress?.({
      stage: "pack",
      message: `packing ${name}`,
      fraction: Math.min(0.99, done / total),
    });
  };
  try {
    const file = await open(temporary, "wx", 0o644);
    try {
      const archive = Readable.from(writeArchive([...head, ...parts], onBytes), { objectMode: false });
      const write = async (chunks: AsyncIterable<Uint8Array>): Promise<void> => {
        for await (const chunk of chunks) await file.writeFile(chunk);
      };
      await pipeline(archive, createGzip(), write, { signal: deadline.signal });
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, target);
  } catch (error) {
    await rm(temporary, { force: true });
    deadline.check();
    throw writeError(error, target);
  }
  return { path: target, sizeBytes: (await stat(target)).size, manifest };
}

/** The bytes of the archive. A file that is not what its manifest says ends it. */
async function* writeArchive(
  parts: readonly Part[],
  onBytes: (count: number) => void,
): AsyncGenerator<Uint8Array, void, undefined> {
  for (const part of parts) {
    const entry = { path: `${ARCHIVE_PREFIX}${part.path}`, mode: 0o644, kind: "file" } as const;
    yield tarHeader(entry, part.sizeBytes, MTIME_S);
    if (typeof part.from !== "string") yield part.from;
    else yield* checkedFile(part, part.from, onBytes);
    yield tarPadding(part.sizeBytes);
  }
  yield TAR_END;
}

async function* checkedFile(
  part: Part,
  path: string,
  onBytes: (count: number) => void,
): AsyncGenerator<Uint8Array, void, undefined> {
  const hash = createHash("sha256");
  let size = 0;
  const changed = new SmolVMError("IMAGE_INVALID", `'${path}' is missing or has changed`, {
    hint: part.path.startsWith(KERNEL_DIRECTORY)
      ? "Build the kernel again: smolvm image kernel build --force"
      : "Build the image again: smolvm image build --force",
  });
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 })) {
      const bytes = chunk as Uint8Array;
      size += bytes.length;
      if (size > part.sizeBytes) break;
      hash.update(bytes);
      onBytes(bytes.length);
      yield bytes;
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") throw changed;
    throw error;
  }
  if (size !== part.sizeBytes || hash.digest("hex") !== part.sha256) throw changed;
}

async function imageParts({ image, manifest }: StoredImage): Promise<Part[]> {
  const dir = image.directory;
  return [
    describe(`${IMAGE_DIRECTORY}${MANIFEST_FILE}`, json({ ...manifest, name: image.name })),
    ...manifest.files.map((file) => ({
      ...file,
      path: `${IMAGE_DIRECTORY}${file.path}`,
      from: join(dir, file.path),
    })),
  ];
}

async function kernelParts(dirs: ImageDirs, { name, manifest }: BuiltKernel): Promise<Part[]> {
  const dir = kernelLayout(dirs).kernel(name);
  const patches: Part[] = [];
  for (const { name: patch, sha256 } of manifest.patches) {
    const part = describe(
      `${PATCH_DIRECTORY}${patch}`,
      await readFile(join(kernelRecipeDir(), "patches", patch)).catch(() => new Uint8Array(0)),
    );
    if (part.sha256 !== sha256) {
      throw new SmolVMError("IMAGE_INVALID", `the fast kernel was built with another patch '${patch}'`, {
        hint: "A bundle holds the sources of what is in it. Build the kernel again: smolvm image kernel build --force",
      });
    }
    patches.push(part);
  }
  return [
    describe(`${KERNEL_DIRECTORY}${MANIFEST_FILE}`, json(manifest)),
    ...manifest.files.map((file) => ({
      ...file,
      path: `${KERNEL_DIRECTORY}${file.path}`,
      from: join(dir, file.path),
    })),
    ...patches,
  ];
}

function packageJson({ name, arch, smolvm, kernel }: BundleManifest): object {
  const content = `the image ${name} for ${arch}${kernel === undefined ? "" : ", the fast kernel"} and the agent`;
  return {
    name: guestPackageName(arch, name, DEFAULT_IMAGE),
    version: smolvm,
    description: `Guest of smolvm: ${content}. Installed beside smolvm, it is used by itself.`,
    license: "SEE LICENSE IN SOURCES.md",
  };
}

function describe(path: string, from: Uint8Array): Part {
  return { path, from, sizeBytes: from.length, sha256: createHash("sha256").update(from).digest("hex") };
}

function json(value: object): Uint8Array {
  return Buffer.from(`${JSON.stringify(value, undefined, 2)}\n`);
}

async function readAgent(path: string): Promise<Uint8Array> {
  return readFile(path).catch((error: unknown) => {
    throw new SmolVMError("DEPENDENCY_MISSING", `the guest agent '${basename(path)}' is not there`, {
      hint: "In a checkout, build it: npm run build:native. In an installed package, install smolvm again.",
      details: { path },
      cause: error,
    });
  });
}

async function requireFree(target: string, force: boolean): Promise<void> {
  const stats = await stat(target).catch(() => undefined);
  if (stats !== undefined && !stats.isFile())
    throw new SmolVMError("FILE_TYPE", `'${target}' is not a file`, { hint: "Name the file to write." });
  if (stats !== undefined && !force) {
    throw new SmolVMError("FILE_EXISTS", `'${target}' exists`, {
      hint: "Choose another name, or overwrite it with --force.",
      details: { path: target },
    });
  }
  try {
    makeDirectory(dirname(target));
  } catch (error) {
    throw writeError(error, target);
  }
}

function writeError(error: unknown, target: string): unknown {
  if (error instanceof SmolVMError) return error;
  if (isNoSpace(error)) return orNoSpace(error, `no space left for '${target}'`, dirname(target));
  return new SmolVMError("HOST_FAILED", `'${target}' cannot be written: ${messageOf(error)}`, {
    cause: error,
  });
}
