import { homedir, userInfo } from "node:os";
import { isAbsolute, join, resolve } from "node:path";
import { pathIn } from "../../util/path-in.ts";
import type { PlaceVariables } from "../place-variables.ts";

/** The directories for data and for what can be made again: as paths.ts says. Pure. */
export function dataAndCache(
  env: PlaceVariables,
  platform: NodeJS.Platform,
  homedir: string,
): { readonly dataDir: string; readonly cacheDir: string } {
  if (env.home !== undefined) {
    const home = resolve(env.home);
    return { dataDir: home, cacheDir: join(home, "cache") };
  }
  if (platform === "darwin") {
    return {
      dataDir: join(homedir, "Library", "Application Support", "smolvm"),
      cacheDir: join(homedir, "Library", "Caches", "smolvm"),
    };
  }
  if (platform === "win32") {
    const local = join(env.localAppData ?? join(homedir, "AppData", "Local"), "smolvm");
    return { dataDir: local, cacheDir: join(local, "cache") };
  }
  // The XDG specification: relative values are to be ignored.
  const xdg = (value: string | undefined, fallback: string): string =>
    join(value !== undefined && isAbsolute(value) ? value : pathIn(homedir, fallback), "smolvm");
  return { dataDir: xdg(env.xdgDataHome, ".local/share"), cacheDir: xdg(env.xdgCacheHome, ".cache") };
}

/** `HOME`, unless it is empty or relative: what this user keeps must not depend on where a command is typed. */
export function absoluteHome(): string {
  const home = homedir();
  return isAbsolute(home) ? home : userInfo().homedir;
}
