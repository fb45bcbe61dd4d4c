import type { Arch } from "../../config/spec.ts";
import { SmolVMError } from "../../errors.ts";
import type { ManifestFile } from "../store/manifest.ts";

/**
 * A guest bundle: everything that a guest is made of, as one npm package. Its files, in this order in the archive (a
 * gzipped POSIX tar, as npm makes and installs them; all entries are regular files below "package/"):
 *
 *   package.json      so that npm can install it
 *   bundle.json       {@link BundleManifest}: every other file with its size and hash
 *   SOURCES.md        what it was made of and where the sources are, for people
 *   image/            manifest.json, root file system, Debian's kernel with its modules, empty disks
 *   kernel/           the fast kernel: manifest.json, vmlinux or Image, config, System.map; absent: there is none
 *   sources/          the patches that the fast kernel was built with
 *   agent             the static guest agent
 *   initramfs.cpio    what boots with the fast kernel, for those who boot by hand: smolvm makes its own from the agent
 */
export const BUNDLE_FILE = "bundle.json";
/** Every path in the archive starts with this: npm's custom. */
export const ARCHIVE_PREFIX = "package/";
export const IMAGE_DIRECTORY = "image/";
export const KERNEL_DIRECTORY = "kernel/";
export const PATCH_DIRECTORY = "sources/";
export const AGENT_FILE = "agent";
export const INITRAMFS_FILE = "initramfs.cpio";
export const SOURCES_FILE = "SOURCES.md";

/** bundle.json and package.json are not larger. */
export const BUNDLE_JSON_MAX_BYTES: number = 4 * 2 ** 20;
const FILES_MAX = 1000;
const TOTAL_MAX_BYTES = 16 * 2 ** 30;

/** Where the source of something in a bundle is. */
export interface SourceReference {
  /** source package, e.g. "linux" */
  readonly package: string;
  readonly version: string;
  /** address of exactly that version */
  readonly reference: string;
  /** binary packages, or other words for what was made of it */
  readonly of: readonly string[];
}

/** bundle.json. */
export interface BundleManifest {
  readonly format: "smolvm-guest-bundle";
  readonly version: 1;
  /** version of the smolvm that wrote it */
  readonly smolvm: string;
  /** name of the image */
  readonly name: string;
  readonly arch: Arch;
  /** the image's digest */
  readonly digest: string;
  /** name of the fast kernel; absent: there is none */
  readonly kernel?: string;
  readonly sources: readonly SourceReference[];
  /** every file but package.json and this one, in the archive's order; paths relative, with `/` */
  readonly files: readonly ManifestFile[];
}

/** Name of the npm package with an image for an architecture; the default image's is the plain one. Pure. */
export function guestPackageName(arch: Arch, image: string, defaultImage: string): string {
  const name = `smolvm-guest-${arch === "x86_64" ? "x64" : "arm64"}`;
  return image === defaultImage ? name : `${name}-${image}`;
}

/**
 * Reads a bundle.json, which may come from anywhere: whatever is not exactly as it should be is refused. Pure.
 * @throws SmolVMError IMAGE_INVALID
 */
export function parseBundleManifest(text: string): BundleManifest {
  const value = parseObject(text);
  if (value.format !== "smolvm-guest-bundle") throw badBundle(`its ${BUNDLE_FILE} is not one`);
  if (value.version !== 1) throw badBundle("it was written by a newer smolvm", "Update smolvm.");
  const { name, arch, digest, kernel, smolvm, sources, files } = value;
  if (!isText(name, /^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$/))
    throw badBundle("its image has no valid name");
  if (arch !== "x86_64" && arch !== "aarch64") throw badBundle("it is for an unknown architecture");
  if (!isText(digest, SHA256)) throw badBundle("it names no digest");
  if (!isText(smolvm, /^[\w.+-]{1,64}$/)) throw badBundle("it does not say which smolvm wrote it");
  if (kernel !== undefined && !isText(kernel, /^[A-Za-z0-9][\w.+~-]{0,99}$/))
    throw badBundle("its kernel has no valid name");
  if (!Array.isArray(sources) || !Array.isArray(files)) throw badBundle("its lists are missing");
  checkFiles(files);
  return value as unknown as BundleManifest;
}

function checkFiles(files: readonly unknown[]): asserts files is ManifestFile[] {
  if (files.length === 0 || files.length > FILES_MAX) throw badBundle(`it lists ${files.length} files`);
  const seen = new Set<string>();
  let total = 0;
  for (const file of files) {
    const { path, sha256, sizeBytes } = (file ?? {}) as Partial<Record<keyof ManifestFile, unknown>>;
    if (
      !isText(path, PATH) ||
      path.length > 90 ||
      path.split("/").some((part) => part === ".." || part === ".")
    )
      throw badBundle(`it lists a file with the path ${JSON.stringify(path)?.slice(0, 100)}`);
    if (!isText(sha256, SHA256)) throw badBundle(`it gives no hash for '${path}'`);
    if (!Number.isSafeInteger(sizeBytes) || (sizeBytes as number) < 0)
      throw badBundle(`it gives no size for '${path}'`);
    // Two names that a file system without cases takes for one
    const folded = path.toLowerCase();
    if (seen.has(folded)) throw badBundle(`it lists '${path}' twice`);
    seen.add(folded);
    total += sizeBytes as number;
  }
  if (total > TOTAL_MAX_BYTES) throw badBundle(`its files are ${Math.round(total / 2 ** 30)} GiB`);
}

/** What a text of JSON holds; nothing if it is none, or holds no object. */
function parseObject(text: string): Partial<Record<keyof BundleManifest, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : {};
  } catch {
    return {};
  }
}

const SHA256 = /^[0-9a-f]{64}$/;
/** A few directories, ordinary names. */
const PATH = /^[A-Za-z0-9][\w.+~-]*(?:\/[A-Za-z0-9][\w.+~-]*){0,3}$/;

function isText(value: unknown, pattern: RegExp): value is string {
  return typeof value === "string" && pattern.test(value);
}

/** The error for a bundle that cannot be taken in. Pure. */
export function badBundle(why: string, hint?: string): SmolVMError {
  return new SmolVMError("IMAGE_INVALID", `the guest bundle cannot be used: ${why}`, {
    hint: hint ?? "Get the bundle again, or build the image: smolvm image build",
  });
}
