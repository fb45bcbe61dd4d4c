import { realpathSync, statSync } from "node:fs";
import { SmolVMError } from "../../errors.ts";
import { cachedJson } from "../../host/files/cached-json.ts";
import { shortHash } from "../../util/short-hash.ts";
import { versionOf } from "./locate.ts";

/**
 * The version of a Firecracker binary, as it says itself. The answer is kept in `cacheDir` for as long as the file stays
 * the same, so that starting a sandbox does not pay for it.
 * @throws SmolVMError BACKEND_UNAVAILABLE (it does not run, or is something else), TIMEOUT
 */
export async function probeFirecracker(path: string, cacheDir: string): Promise<string> {
  const real = realpathSync.native(path);
  const stat = statSync(real);
  const key = [real, stat.size, stat.mtimeMs, stat.ino].join(" ");
  const name = shortHash(real);
  const isText = (value: unknown): value is string => typeof value === "string";
  return await cachedJson(`${cacheDir}/firecracker-${name}.json`, key, isText, async () => {
    const version = await versionOf(path);
    if (version !== undefined) return version;
    throw new SmolVMError("BACKEND_UNAVAILABLE", `${path} says no version of Firecracker`, {
      hint: `See what it says: ${path} --version`,
      details: { path },
    });
  });
}
