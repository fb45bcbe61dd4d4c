import { homedir } from "node:os";
import { isAbsolute, join, resolve } from "node:path";
import type { Environment } from "../environment.ts";

/**
 * Where a file of settings may be, the first choice first: in `SMOLVM_HOME` if that is set, else `$XDG_CONFIG_HOME/smolvm` (~/.config/smolvm; Windows:
 * %LOCALAPPDATA%\smolvm); then the machine's, /etc/smolvm, which its administrator writes. Pure but for the user's home.
 */
export function configFiles(name: string, env: Environment, platform: NodeJS.Platform): string[] {
  if (env.home !== undefined) return [join(resolve(env.home), name), ...machines(name, platform)];
  if (platform === "win32")
    return [join(env.localAppData ?? join(homedir(), "AppData", "Local"), "smolvm", name)];
  const { xdgConfigHome } = env;
  const directory =
    xdgConfigHome !== undefined && isAbsolute(xdgConfigHome) ? xdgConfigHome : join(homedir(), ".config");
  return [join(directory, "smolvm", name), ...machines(name, platform)];
}

function machines(name: string, platform: NodeJS.Platform): string[] {
  return platform === "win32" ? [] : [join("/etc/smolvm", name)];
}
