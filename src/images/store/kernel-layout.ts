import { join } from "node:path";
import type { Arch } from "../../config/spec.ts";
import { type ImageDirs, imageLayout } from "./layout.ts";

/** Every file of the store of built kernels, named in this one place. */
export interface KernelLayout {
  /** directories of kernels, by name: immutable once they have that name */
  readonly built: string;
  readonly kernel: (name: string) => string;
  /** which kernel is used for an architecture: JSON {name} */
  readonly ref: (arch: Arch) => string;
  readonly sources: string;
  /** source packages, by sha256 */
  readonly source: (sha256: string) => string;
  /** work in progress; whatever is here without a running build is rubbish */
  readonly work: string;
  readonly buildLock: string;
}

/** Where built kernels are kept. Pure. */
export function kernelLayout(dirs: ImageDirs): KernelLayout {
  const root = imageLayout(dirs).kernels;
  const built = join(root, "built");
  const sources = join(root, "source");
  return {
    built,
    kernel: (name) => join(built, name),
    ref: (arch) => join(root, `${arch}.json`),
    sources,
    source: (sha256) => join(sources, `${sha256}.deb`),
    work: join(root, "work"),
    buildLock: join(root, "build.lock"),
  };
}
