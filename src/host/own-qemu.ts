import { existsSync, readFileSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Arch } from "../config/spec.ts";
import { hasPackage, packageDir } from "./package.ts";

/** Every file of the store of our own QEMUs, named in this one place. */
export interface OwnQemuLayout {
  /** directories of builds, by name: immutable once they have that name */
  readonly built: string;
  readonly build: (name: string) => string;
  /** which is used for an architecture's guests: JSON {name} */
  readonly ref: (arch: Arch) => string;
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
    sources,
    source: (sha256) => join(sources, sha256),
    work: join(root, "work"),
    buildLock: join(root, "build.lock"),
  };
}

/** What stands in a reference where the distribution's QEMU was chosen. */
export const DISTRIBUTION = "distribution";

/** e.g. "10.0.13-x86_64-3f9ab2c41d7e" */
export const OWN_QEMU_NAME: RegExp = /^[A-Za-z0-9][\w.+~-]{0,99}$/;

/** The program in the directory of a QEMU of ours. Pure. */
export function ownQemuProgram(dir: string, arch: Arch): string {
  return join(dir, "bin", `qemu-system-${arch}`);
}

/**
 * What was chosen for an architecture's guests: the name of a build, {@link DISTRIBUTION}, or undefined where nothing was. A reference that
 * makes no sense counts as none: the distribution's QEMU is there for that.
 */
export function chosenQemu(dirs: { readonly cacheDir: string }, arch: Arch): string | undefined {
  try {
    const { name } = JSON.parse(readFileSync(ownQemuLayout(dirs).ref(arch), "utf8")) as { name?: unknown };
    return typeof name === "string" && OWN_QEMU_NAME.test(name) ? name : undefined;
  } catch {
    return undefined;
  }
}

/** The QEMU of ours that was built here and is used for an architecture's guests; undefined where there is none. */
export function builtQemu(dirs: { readonly cacheDir: string }, arch: Arch): string | undefined {
  const name = chosenQemu(dirs, arch);
  if (name === undefined || name === DISTRIBUTION) return undefined;
  try {
    // What it is started by must be what its VMM sees of the host.
    return realpathSync(ownQemuProgram(ownQemuLayout(dirs).build(name), arch));
  } catch {
    return undefined; // removed by hand
  }
}

/** npm package that holds one, by its guests' architecture: made by `npm run pack:qemu`. */
const PACKAGES: Readonly<Partial<Record<Arch, string>>> = { x86_64: "smolvm-qemu-x64" };

/**
 * The QEMU of ours that is installed as an npm package beside smolvm itself; undefined where there is none. Only there, and not in the working
 * directory: what a project happens to hold must not become what runs sandboxes.
 */
export function installedQemu(arch: Arch): string | undefined {
  const name = PACKAGES[arch];
  if (name === undefined || process.platform !== "linux" || process.arch !== "x64" || !hasPackage())
    return undefined;
  for (let directory = packageDir(); ; directory = dirname(directory)) {
    const program = ownQemuProgram(join(directory, "node_modules", name), arch);
    if (existsSync(program)) return realpathSync(program);
    if (directory === dirname(directory)) return undefined;
  }
}
