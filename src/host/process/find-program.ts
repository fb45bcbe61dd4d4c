import { accessSync, constants, statSync } from "node:fs";
import { delimiter, resolve } from "node:path";
import { pathIn } from "../../util/path-in.ts";

/** Where a system's own programs are: not all of it is in an ordinary user's PATH on Debian. */
export const SYSTEM_DIRECTORIES: readonly string[] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];

/**
 * The absolute path of an executable, or undefined. A name with a slash is taken as a path; else `searchPath`
 * (PATH's syntax) and then `extra` directories are searched. Spawns nothing.
 */
export function findProgram(
  name: string,
  searchPath: string | undefined,
  extra: readonly string[] = [],
  platform: NodeJS.Platform = process.platform,
): string | undefined {
  const names = platform === "win32" && !/\.exe$/i.test(name) ? [`${name}.exe`] : [name];
  if (name.includes("/") || (platform === "win32" && name.includes("\\"))) {
    return [name, ...names].map((path) => resolve(path)).find(isExecutable);
  }
  for (const directory of [...(searchPath ?? "").split(delimiter), ...extra]) {
    if (directory === "") continue; // an empty entry would mean the working directory
    for (const candidate of names) {
      const path = pathIn(directory, candidate); // the system takes it as it is
      if (isExecutable(path)) return resolve(path);
    }
  }
  return undefined;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
