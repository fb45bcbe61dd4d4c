import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { renameSync, rmSync } from "../../util/files-go.ts";
import { makeDirectory } from "../../util/make-directory.ts";

/** Each program, and each place that smolvm is installed in, has a file of its own: NAME-HASH.json. So many of one name are kept. */
const MAX_OF_A_NAME = 32;
const HASHED = /^(.+-)[0-9a-f]{10}\.json$/;

/**
 * A value that is slow to find out, kept in a file for as long as `key` stays the same. A damaged or unwritable file
 * costs the time to find out again, nothing else.
 * @param accept tells whether what was read is of the right shape
 */
export async function cachedJson<T>(
  file: string,
  key: string,
  accept: (value: unknown) => value is T,
  find: () => Promise<T>,
): Promise<T> {
  return readCached(file, key, accept) ?? keepCached(file, key, await find());
}

/** {@link cachedJson} of what is found out without waiting. */
export function cachedJsonSync<T>(
  file: string,
  key: string,
  accept: (value: unknown) => value is T,
  find: () => T,
): T {
  return readCached(file, key, accept) ?? keepCached(file, key, find());
}

function keepCached<T>(file: string, key: string, value: T): T {
  const temporary = `${file}.${process.pid}.tmp`;
  try {
    makeDirectory(dirname(file), 0o700);
    writeFileSync(temporary, JSON.stringify({ key, value }), { mode: 0o600 });
    renameSync(temporary, file);
    forgetOldest(file);
  } catch {
    removeQuietly(temporary); // a cache that cannot be written is no cache
  }
  return value;
}

/** The cached value, if it is there under that key and of the right shape. */
function readCached<T>(file: string, key: string, accept: (value: unknown) => value is T): T | undefined {
  try {
    const entry = JSON.parse(readFileSync(file, "utf8")) as { key?: unknown; value?: unknown };
    return entry.key === key && accept(entry.value) ? entry.value : undefined;
  } catch {
    return undefined;
  }
}

/** Of those that are named like it, the newest stay. */
function forgetOldest(file: string): void {
  const nameOf = (path: string): string | undefined => HASHED.exec(basename(path))?.[1];
  const [name, directory] = [nameOf(file), dirname(file)];
  if (name === undefined) return;
  const alike = readdirSync(directory).filter((other) => nameOf(other) === name);
  if (alike.length <= MAX_OF_A_NAME) return;
  const dated = alike.map((other) => {
    const path = join(directory, other);
    return { path, at: statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0 };
  });
  dated.sort((one, two) => two.at - one.at);
  for (const { path } of dated.slice(MAX_OF_A_NAME)) removeQuietly(path);
}

/** `force` alone still fails where the directory may not be entered. */
function removeQuietly(file: string): void {
  try {
    rmSync(file, { force: true });
  } catch {
    // then it was never written
  }
}
