import { createHash } from "node:crypto";
import type { Arch } from "../../config/spec.ts";
import { pathIn } from "../../util/path-in.ts";

/** Where images are kept. */
export interface ImageDirs {
  /** the user's cache directory (host/files/paths.ts) */
  readonly cacheDir: string;
  /** the directory of what is for all users of this machine; its images stand behind the user's own. Absent: there is none */
  readonly sharedDir?: string | undefined;
}

/** Every file of the image store, named in this one place. Pure. */
export interface ImageLayout {
  readonly root: string;
  /** directories of images */
  readonly images: string;
  /** directory of one image, by its digest: immutable once it has that name */
  readonly image: (digest: string) => string;
  /** which digest a name stands for: JSON {digest} */
  readonly ref: (name: string, arch: Arch) => string;
  readonly refs: string;
  /** what was downloaded from registries, by sha256: layers and configs, packed as they came */
  readonly blobs: string;
  /** @param digest "sha256:..." */
  readonly blob: (digest: string) => string;
  /** which layer an image of ours is, that was made of it for others: JSON. @param digest of the image */
  readonly ownLayer: (digest: string) => string;
  readonly ownLayers: string;
  /** which layer a step of a Dockerfile has made, by what it depends on: JSON */
  readonly buildStep: (key: string) => string;
  readonly buildSteps: string;
  /** what a cache mount of Dockerfiles held after the last build: a tar */
  readonly buildCache: (key: string) => string;
  /** what that cache is called: JSON {id, arch} */
  readonly buildCacheNote: (key: string) => string;
  readonly buildCaches: string;
  /** work in progress; whatever is here without a running build is rubbish */
  readonly work: string;
  readonly buildLock: string;
  /** agents that came with a guest bundle */
  readonly agents: string;
  readonly agent: (arch: Arch) => string;
  /** initramfs archives, by what is in them */
  readonly initrds: string;
  /** kernels that were built here (kernel-build/) */
  readonly kernels: string;
  /** kernels unpacked from a user's own files, by their sha256 */
  readonly extractedKernels: string;
}

export function imageLayout({ cacheDir }: ImageDirs): ImageLayout {
  const root = pathIn(cacheDir, "images");
  const refs = pathIn(root, "refs");
  const agents = pathIn(cacheDir, "agents");
  const blobs = pathIn(root, "blobs");
  const buildCaches = pathIn(root, "build-caches");
  const buildSteps = pathIn(root, "build");
  const ownLayers = pathIn(root, "layers");
  const images = pathIn(root, "sha256");
  const kernels = pathIn(cacheDir, "kernels");
  return {
    root,
    refs,
    blobs,
    blob: (digest) => pathIn(blobs, hexOf(digest)),
    ownLayers,
    buildSteps,
    buildCaches,
    buildCache: (key) => pathIn(buildCaches, `${key}.tar`),
    buildCacheNote: (key) => pathIn(buildCaches, `${key}.json`),
    buildStep: (key) => pathIn(buildSteps, `${key}.json`),
    ownLayer: (digest) => pathIn(ownLayers, `${digest}.json`),
    images,
    image: (digest) => pathIn(images, digest),
    ref: (name, arch) => pathIn(refs, `${refFileName(name)}.${arch}.json`),
    work: pathIn(root, "work"),
    buildLock: pathIn(root, "build.lock"),
    agents,
    agent: (arch) => pathIn(agents, `agent-${arch}`),
    initrds: pathIn(cacheDir, "initrd"),
    kernels,
    extractedKernels: pathIn(kernels, "extracted"),
  };
}

/** The hex digits of a digest as registries write it, "sha256:...". Pure. */
function hexOf(digest: string): string {
  return digest.slice("sha256:".length);
}

export const MANIFEST_FILE = "manifest.json";

/** Longer names have a hash for a file name, and stand in the file. */
const MAX_REF_BYTES = 180;

/** The name of a reference's file: what not every file system tells apart or takes (capitals, slashes, colons) is written as in a URL. Pure. */
export function refFileName(name: string): string {
  const encoded = [...Buffer.from(name, "utf8")]
    .map((byte) => {
      const text = String.fromCharCode(byte);
      return /[a-z0-9._-]/.test(text) ? text : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
    })
    .join("");
  return encoded.length <= MAX_REF_BYTES ? encoded : `%-${createHash("sha256").update(name).digest("hex")}`;
}

/** The name that a file of {@link refFileName} is for; undefined: it stands in the file. Pure. */
export function refName(file: string): string | undefined {
  if (file.startsWith("%-")) return undefined;
  try {
    return decodeURIComponent(file);
  } catch {
    return undefined; // not one of ours
  }
}
