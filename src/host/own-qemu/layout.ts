import type { Arch } from "../../config/spec.ts";
import { pathIn } from "../../util/path-in.ts";

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
  const root = pathIn(cacheDir, "qemu");
  const built = pathIn(root, "built");
  const sources = pathIn(root, "source");
  return {
    built,
    build: (name) => pathIn(built, name),
    ref: (arch) => pathIn(root, `${arch}.json`),
    placed: pathIn(root, "placed"),
    sources,
    source: (sha256) => pathIn(sources, sha256),
    work: pathIn(root, "work"),
    buildLock: pathIn(root, "build.lock"),
  };
}

/** The program in the directory of a QEMU of ours. Pure. */
export function ownQemuProgram(dir: string, arch: Arch): string {
  return pathIn(pathIn(dir, "bin"), `qemu-system-${arch}`);
}
