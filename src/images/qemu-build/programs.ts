import { existsSync, readdirSync } from "node:fs";
import type { SmolVMError } from "../../errors.ts";
import { findProgram, SYSTEM_DIRECTORIES } from "../../host/process/find-program.ts";
import { type BuildNeed, missingNeeds } from "../debian/build-needs.ts";

const NEEDS: readonly BuildNeed[] = [
  { what: "gcc", package: "build-essential" },
  { what: "make", package: "build-essential" },
  { what: "strip", package: "build-essential" },
  { what: "libc.a", package: "build-essential" },
  { what: "ninja", package: "ninja-build" },
  { what: "pkg-config", package: "pkg-config" },
  { what: "python3", package: "python3" },
  { what: "ensurepip", package: "python3-venv" },
  { what: "patch", package: "patch" },
  { what: "tar", package: "tar" },
  { what: "xz", package: "xz-utils" },
  { what: "bzip2", package: "bzip2" },
  { what: "libglib-2.0.a", package: "libglib2.0-dev" },
  { what: "libseccomp.a", package: "libseccomp-dev" },
  { what: "libfdt.a", package: "libfdt-dev" },
  { what: "libz.a", package: "zlib1g-dev" },
];

/** Debian keeps libraries by architecture. */
const LIBRARY_DIRECTORIES = [
  "/usr/lib/x86_64-linux-gnu",
  "/usr/lib/aarch64-linux-gnu",
  "/usr/lib64",
  "/usr/lib",
];

/**
 * Checks that all is there that building QEMU needs, and names all that is not, at once.
 * @throws SmolVMError DEPENDENCY_MISSING
 */
export function requireQemuPrograms(platform: NodeJS.Platform = process.platform): void {
  const missing = NEEDS.filter(({ what }) => !isThere(what));
  if (missing.length > 0) throw missingForQemu(missing, platform);
}

/** The error for what is missing. Pure. */
export function missingForQemu(missing: readonly BuildNeed[], platform: NodeJS.Platform): SmolVMError {
  return missingNeeds(missing, platform, {
    built: "QEMU",
    elsewhere: "QEMU of our own is built on Linux. Without one, smolvm uses the installed QEMU.",
  });
}

function isThere(what: string): boolean {
  if (what === "ensurepip") return hasEnsurepip();
  if (what.endsWith(".a")) return LIBRARY_DIRECTORIES.some((directory) => existsSync(`${directory}/${what}`));
  return findProgram(what, process.env.PATH, SYSTEM_DIRECTORIES) !== undefined;
}

/** Debian has this module of Python's in a package of its own. */
function hasEnsurepip(): boolean {
  return readdirSync("/usr/lib")
    .filter((name) => /^python3\.\d+$/.test(name))
    .some((name) => existsSync(`/usr/lib/${name}/ensurepip`));
}
