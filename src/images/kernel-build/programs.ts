import { existsSync } from "node:fs";
import type { Arch } from "../../config/spec.ts";
import type { SmolVMError } from "../../errors.ts";
import { findProgram } from "../../host/process/find-program.ts";
import { type BuildNeed, missingNeeds } from "../debian/build-needs.ts";
import { KERNEL_TARGETS } from "./recipe.ts";

/** Header files are looked for here: Debian keeps some by architecture. */
const HEADER_DIRECTORIES = ["/usr/include", "/usr/local/include"];

/**
 * What building a kernel for `arch` needs. Pure.
 * @param hostArch the host's own architecture; its compiler comes with build-essential
 */
export function buildNeeds(arch: Arch, hostArch: Arch | undefined): BuildNeed[] {
  const { crossPrefix, crossPackage } = KERNEL_TARGETS[arch];
  const compiler = arch === hostArch ? "build-essential" : crossPackage;
  return [
    { what: "make", package: "build-essential" },
    // builds the programs that the build itself runs
    { what: "gcc", package: "build-essential" },
    { what: "stdio.h", package: "build-essential" },
    { what: `${crossPrefix}gcc`, package: compiler },
    { what: `${crossPrefix}strip`, package: compiler },
    { what: "bc", package: "bc" },
    { what: "bison", package: "bison" },
    { what: "flex", package: "flex" },
    { what: "patch", package: "patch" },
    { what: "tar", package: "tar" },
    { what: "xz", package: "xz-utils" },
    // objtool, which only the x86 build runs
    ...(arch === "x86_64" ? [{ what: "gelf.h", package: "libelf-dev" }] : []),
  ];
}

/**
 * Checks that all of it is there, and names all that is not, at once.
 * @throws SmolVMError DEPENDENCY_MISSING
 */
export function requireBuildPrograms(
  arch: Arch,
  hostArch: Arch | undefined,
  platform: NodeJS.Platform = process.platform,
): void {
  const missing = buildNeeds(arch, hostArch).filter(({ what }) => !isThere(what));
  if (missing.length === 0) return;
  throw missingPrograms(missing, platform);
}

/** The error for what is missing. Pure. */
export function missingPrograms(missing: readonly BuildNeed[], platform: NodeJS.Platform): SmolVMError {
  return missingNeeds(missing, platform, {
    built: "a kernel",
    elsewhere: "Kernels are built on Linux. Without one, smolvm uses Debian's own kernel.",
  });
}

function isThere(what: string): boolean {
  if (!what.endsWith(".h")) return findProgram(what, process.env.PATH, SYSTEM_DIRECTORIES) !== undefined;
  return HEADER_DIRECTORIES.some((directory) => existsSync(`${directory}/${what}`));
}

/** Also searched when PATH lacks them. */
export const SYSTEM_DIRECTORIES: readonly string[] = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"];
