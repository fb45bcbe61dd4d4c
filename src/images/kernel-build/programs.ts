import { existsSync } from "node:fs";
import type { Arch } from "../../config/spec.ts";
import { SmolVMError } from "../../errors.ts";
import { findProgram } from "../../host/process/find-program.ts";
import { KERNEL_TARGETS } from "./recipe.ts";

/** What building a kernel needs of the host, and the Debian package that has it. */
export interface BuildNeed {
  /** a program, or a header file by its absolute path */
  readonly what: string;
  readonly package: string;
}

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
  const packages = [...new Set(missing.map((need) => need.package))].sort();
  return new SmolVMError(
    "DEPENDENCY_MISSING",
    `building a kernel needs ${missing.map(({ what }) => what).join(", ")}, not found here`,
    {
      hint:
        platform === "linux"
          ? `On Debian or Ubuntu: sudo apt-get install -y ${packages.join(" ")}`
          : "Kernels are built on Linux. Without one, smolvm uses Debian's own kernel.",
      details: { missing: missing.map(({ what }) => what), packages },
    },
  );
}

function isThere(what: string): boolean {
  if (!what.endsWith(".h")) return findProgram(what, process.env.PATH, SYSTEM_DIRECTORIES) !== undefined;
  return HEADER_DIRECTORIES.some((directory) => existsSync(`${directory}/${what}`));
}

/** Also searched when PATH lacks them. */
export const SYSTEM_DIRECTORIES: readonly string[] = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"];
