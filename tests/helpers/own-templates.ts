import { mkdirSync, symlinkSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

/**
 * Gives a test's home a cache of its own for templates, with the images of the user's cache in it.
 * @returns the directory of its templates
 */
export function useOwnTemplates(home: string): string {
  const cacheOfUser = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "smolvm");
  const cache = join(home, "cache", "smolvm");
  mkdirSync(cache, { recursive: true, mode: 0o700 });
  for (const name of ["images", "initrd", "kernels"]) symlinkSync(join(cacheOfUser, name), join(cache, name));
  process.env.XDG_CACHE_HOME = join(home, "cache");
  return join(cache, "templates");
}
