import { readdirSync, rmdirSync, statSync, utimesSync } from "node:fs";
import { enableCompileCache } from "node:module";
import { join } from "node:path";
import { rmSync } from "../../util/files-go.ts";
import { makeDirectory } from "../../util/make-directory.ts";
import { COMPILED } from "./compiled-code.ts";
import { processPaths } from "./paths.ts";

const DAY_MS = 24 * 3_600_000;
/** What was written longer ago is removed: programs that are gone, and Nodes. Of what is in use it is written again. */
const KEEP_MS = 30 * DAY_MS;
/** Most bytes of it. What one version of smolvm needs is a twentieth of that. */
const KEEP_BYTES = 64 * 2 ** 20;

/** Lets Node keep what it compiles from now on. */
export function useCompileCache(directory: string): void {
  enableCompileCache?.(directory);
}

/**
 * Where compiled code is kept; looks once a day that it does not become too much. In the user's own directory: Node's default is in the
 * shared /tmp, where others could plant code.
 * @returns undefined where it cannot be
 */
export function compileCacheDirectory(): string | undefined {
  const directory = join(processPaths().cacheDir, COMPILED);
  try {
    makeDirectory(directory, 0o700); // Node's own way never returns where that is impossible
    if (Date.now() - statSync(directory).mtimeMs > DAY_MS) pruneCompileCache(directory, Date.now());
  } catch {
    return undefined; // slower without; what needs the directories says what is wrong with them
  }
  return directory;
}

/** Removes what is old from the cache, and the oldest while it is too large. Its own time says when this was done. */
export function pruneCompileCache(directory: string, now: number): void {
  utimesSync(directory, now / 1000, now / 1000);
  const versions = readdirSync(directory)
    .filter((name) => /^(whole-)?v\d/.test(name)) // Node's own names, and compiled-code.ts'
    .map((name) => join(directory, name));
  const files = versions
    .flatMap((version) => readdirSync(version).map((name) => join(version, name)))
    .map((path) => ({ path, stat: statSync(path, { throwIfNoEntry: false }) }))
    .sort((a, b) => (b.stat?.mtimeMs ?? 0) - (a.stat?.mtimeMs ?? 0));
  let bytes = 0;
  for (const { path, stat } of files) {
    bytes += stat?.size ?? 0;
    if (bytes > KEEP_BYTES || now - (stat?.mtimeMs ?? 0) > KEEP_MS) rmSync(path, { force: true });
  }
  for (const version of versions) if (readdirSync(version).length === 0) rmdirSync(version);
}
