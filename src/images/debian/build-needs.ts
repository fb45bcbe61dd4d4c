import { SmolVMError } from "../../errors.ts";

/** What a build needs of the host, and the Debian package that has it. */
export interface BuildNeed {
  /** a program, a header or a library, by its name */
  readonly what: string;
  readonly package: string;
}

/**
 * The error for what is missing. Pure.
 * @param built what is to be built, e.g. "a kernel"
 * @param elsewhere what to know where it cannot be built: not on Linux
 */
export function missingNeeds(
  missing: readonly BuildNeed[],
  platform: NodeJS.Platform,
  { built, elsewhere }: { readonly built: string; readonly elsewhere: string },
): SmolVMError {
  const packages = [...new Set(missing.map((need) => need.package))].sort();
  return new SmolVMError(
    "DEPENDENCY_MISSING",
    `building ${built} needs ${missing.map(({ what }) => what).join(", ")}, not found here`,
    {
      hint:
        platform === "linux"
          ? `On Debian or Ubuntu: sudo apt-get install -y ${packages.join(" ")}`
          : elsewhere,
      details: { missing: missing.map(({ what }) => what), packages },
    },
  );
}
