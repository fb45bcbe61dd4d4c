import { existsSync, readFileSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Arch } from "../../config/spec.ts";
import { hasPackage, packageDir } from "../package.ts";
import { ownQemuLayout, ownQemuProgram } from "./layout.ts";

/** What stands in a reference where the distribution's QEMU was chosen. */
export const DISTRIBUTION = "distribution";

/** e.g. "10.0.13-x86_64-3f9ab2c41d7e" */
export const OWN_QEMU_NAME: RegExp = /^[A-Za-z0-9][\w.+~-]{0,99}$/;

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
    return realpathSync.native(ownQemuProgram(ownQemuLayout(dirs).build(name), arch));
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
    if (existsSync(program)) return realpathSync.native(program);
    if (directory === dirname(directory)) return undefined;
  }
}
