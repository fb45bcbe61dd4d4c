import { join } from "node:path";
import type { Arch } from "../../config/spec.ts";

/** Every file of the store of our own QEMUs, named in this one place. */
export interface OwnQemuLayout {
  /** directories of builds, by name: immutable once they have that name */
  readonly built: string;
  readonly build: (name: string) => string;
  /** which is used for an architecture's guests: JSON {name} */
  readonly ref: (arch: Arch) => string;
  /** directories of copies, each at an address of its own */
  readonly placed: string;
  readonly sources: string;
  /** what builds are made of, by sha256 */
  readonly source: (sha256: string) => string;
  /** work in progress; whatever is here without a running build is rubbish */
  readonly work: string;
  readonly buildLock: string;
}

/** Where QEMUs that were built here are kept. Pure. */
export function ownQemuLayout({ cacheDir }: { readonly cacheDir: string }): OwnQemuLayout {
  const root = join(cacheDir, "qemu");
  const built = join(root, "built");
  const sources = join(root, "source");
  return {
    built,
    build: (name) => join(built, name),
    ref: (arch) => join(root, `${arch}.json`),
    placed: join(root, "placed"),
    sources,
    source: (sha256) => join(sources, sha256),
    work: join(root, "work"),
    buildLock: join(root, "build.lock"),
  };
}

/** The program in the directory of a QEMU of ours. Pure. */
export function ownQemuProgram(dir: string, arch: Arch): string {
  return join(dir, "bin", `qemu-system-${arch}`);
}
