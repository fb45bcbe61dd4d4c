import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Arch } from "../../config/spec.ts";
import { nativeDir } from "../../host/package.ts";
import { type ImageDirs, imageLayout } from "../store/layout.ts";

/**
 * The static agent for a guest architecture: the one that smolvm ships, else one that came with a guest bundle. The path is
 * given even if there is neither, for the error that says so.
 */
export function agentFile(dirs: ImageDirs, arch: Arch): string {
  const shipped = join(nativeDir(), `agent-${arch}`);
  const imported = imageLayout(dirs).agent(arch);
  return !existsSync(shipped) && existsSync(imported) ? imported : shipped;
}
