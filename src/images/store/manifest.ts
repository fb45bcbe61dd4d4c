import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import type { Arch } from "../../config/spec.ts";
import { SmolVMError } from "../../errors.ts";
import { pathIn } from "../../util/path-in.ts";
import type { RootfsFormat } from "../formats/rootfs-format.ts";
import type { Image, ImageOrigin } from "./image.ts";

/** A Debian package and its version, as it is in an image. */
export interface PackageVersion {
  readonly name: string;
  readonly version: string;
  /** the source package that it was built from; absent in images that were built before this was kept */
  readonly source?: { readonly name: string; readonly version: string };
}

/** One file of an image. */
export interface ManifestFile {
  /** relative, with `/` */
  readonly path: string;
  /** hex */
  readonly sha256: string;
  readonly sizeBytes: number;
}

/** What is in an image's directory: its manifest.json. */
export interface Manifest {
  readonly version: 1;
  readonly name: string;
  readonly arch: Arch;
  readonly createdAt: string;
  /** what it was built by and from (recipe.ts): another recipe means another build */
  readonly recipe: string;
  readonly rootfs: { readonly file: string; readonly format: RootfsFormat };
  readonly kernel: {
    readonly file: string;
    readonly version: string;
    readonly packageName: string;
    readonly packageVersion: string;
  };
  /** directory of seeds: empty file systems that disks start from (seed.ts) */
  readonly seeds: { readonly directory: string; readonly files: readonly string[] };
  readonly modules: readonly {
    readonly name: string;
    readonly file: string;
    readonly depends: readonly string[];
  }[];
  readonly packages: readonly PackageVersion[];
  /** of one that was pulled */
  readonly origin?: ImageOrigin | undefined;
  readonly files: readonly ManifestFile[];
}

/** An image's digest: sha256 over what its files are, independent of when and where it was built. Pure. */
export function manifestDigest(manifest: Manifest): string {
  const content = {
    arch: manifest.arch,
    rootfs: manifest.rootfs,
    kernel: { file: manifest.kernel.file, version: manifest.kernel.version },
    seeds: manifest.seeds,
    modules: manifest.modules.map(({ name, file, depends }) => [name, file, depends]),
    files: [...manifest.files]
      .sort((a, b) => (a.path < b.path ? -1 : 1))
      .map(({ path, sha256, sizeBytes }) => [path, sha256, sizeBytes]),
    // The same files may be run in other ways.
    ...(manifest.origin === undefined ? {} : { config: manifest.origin.configDigest }),
  };
  return createHash("sha256").update(JSON.stringify(content)).digest("hex");
}

/** The image that a manifest describes, with its files in `dir`. Pure. */
export function toImage(manifest: Manifest, digest: string, dir: string, shared = false): Image {
  const sha256 = new Map(manifest.files.map((file) => [file.path, file.sha256]));
  return {
    name: manifest.name,
    arch: manifest.arch,
    digest,
    shared,
    directory: dir,
    rootfsPath: join(dir, manifest.rootfs.file),
    rootfsFormat: manifest.rootfs.format,
    kernelPath: join(dir, manifest.kernel.file),
    kernelSha256: sha256.get(manifest.kernel.file) ?? "",
    kernelVersion: manifest.kernel.version,
    modules: manifest.modules.map(({ name, file, depends }) => ({
      name,
      path: pathIn(dir, file),
      sha256: sha256.get(file) ?? "",
      depends,
    })),
    seedPath: join(dir, manifest.seeds.directory),
    sizeBytes: manifest.files.reduce((sum, file) => sum + file.sizeBytes, 0),
    createdAt: manifest.createdAt,
    origin: manifest.origin,
  };
}

/**
 * Reads a manifest. It is a file of our own, so what matters is that a damaged or newer one is told and not half used.
 * @throws SmolVMError IMAGE_INVALID
 */
export function parseManifest(text: string, path: string): Manifest {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw damaged(path, "is not JSON", error);
  }
  const manifest = value as Partial<Manifest>;
  if (manifest?.version !== 1) throw damaged(path, "is of a version that this smolvm does not know");
  const safe = (file: unknown): boolean =>
    typeof file === "string" && /^[\w.-]+(\/[\w.-]+)*$/.test(file) && !file.split("/").includes("..");
  const files = [
    manifest.rootfs?.file,
    manifest.kernel?.file,
    ...(manifest.seeds?.files ?? [undefined]),
    ...(manifest.modules ?? []).map((module) => module.file),
  ];
  const listed = new Set(manifest.files?.map((file) => file.path));
  if (!files.every((file) => safe(file) && listed.has(file as string)))
    throw damaged(path, "names files that it does not list");
  return manifest as Manifest;
}

/** Hashes files below `dir`. */
export async function describeFiles(dir: string, paths: readonly string[]): Promise<ManifestFile[]> {
  const files: ManifestFile[] = [];
  for (const path of paths) {
    const { size } = await stat(join(dir, path));
    files.push({ path, sha256: await sha256File(join(dir, path)), sizeBytes: size });
  }
  return files;
}

/** sha256 of a file, hex. */
export async function sha256File(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path, { highWaterMark: 1024 * 1024 }), hash);
  return hash.digest("hex");
}

function damaged(path: string, what: string, cause?: unknown): SmolVMError {
  return new SmolVMError("IMAGE_INVALID", `the image manifest '${path}' ${what}`, {
    hint: "Build the image again: smolvm image build --force",
    cause,
  });
}
