import { join } from "node:path";
import type { Arch } from "../../config/spec.ts";

/** Where images are kept. */
export interface ImageDirs {
  /** the user's cache directory (host/files/paths.ts) */
  readonly cacheDir: string;
}

/** Every file of the image store, named in this one place. Pure. */
export interface ImageLayout {
  readonly root: string;
  /** directory of one image, by its digest: immutable once it has that name */
  readonly image: (digest: string) => string;
  /** which digest a name stands for: JSON {digest} */
  readonly ref: (name: string, arch: Arch) => string;
  readonly refs: string;
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
  const root = join(cacheDir, "images");
  const refs = join(root, "refs");
  const agents = join(cacheDir, "agents");
  return {
    root,
    refs,
    image: (digest) => join(root, "sha256", digest),
    ref: (name, arch) => join(refs, `${name}.${arch}.json`),
    work: join(root, "work"),
    buildLock: join(root, "build.lock"),
    agents,
    agent: (arch) => join(agents, `agent-${arch}`),
    initrds: join(cacheDir, "initrd"),
    kernels: join(cacheDir, "kernels"),
    extractedKernels: join(cacheDir, "kernels", "extracted"),
  };
}

export const MANIFEST_FILE = "manifest.json";
