import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { DEFAULT_IMAGE } from "../../config/defaults.ts";
import type { Arch } from "../../config/spec.ts";
import { hasPackage, packageDir } from "../../host/package.ts";
import { BUNDLE_FILE, guestPackageName } from "./bundle-manifest.ts";

/**
 * The directory of an npm package with a guest bundle, as Node would find it from `from`: in node_modules there, or in a
 * directory above. Undefined where there is none.
 */
export function findPackage(name: string, from: string): string | undefined {
  for (let directory = from; ; directory = dirname(directory)) {
    const candidate = join(directory, "node_modules", name);
    if (existsSync(join(candidate, BUNDLE_FILE))) return candidate;
    if (directory === dirname(directory)) return undefined;
  }
}

/**
 * The guest package that is installed beside smolvm itself. Only there, and not in the working directory: what a project
 * happens to hold must not become the guest of whoever runs smolvm in it.
 */
export function installedGuest(arch: Arch, image: string): string | undefined {
  return hasPackage() ? findPackage(guestPackageName(arch, image, DEFAULT_IMAGE), packageDir()) : undefined;
}
