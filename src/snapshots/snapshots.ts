import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { SmolVMError } from "../errors.ts";
import { renameSync } from "../util/files-go.ts";
import { shown } from "../util/shown.ts";
import { hashOf, isSame, keptCode, stampOf } from "./manifest.ts";
import { REMOVED, type SavedFiles, type SavedMemory, savedFiles, snapshotsDir } from "./saved.ts";
import { DIFFERENCE_FORMAT, SNAPSHOT_FORMAT, type SnapshotManifest } from "./snapshot-manifest.ts";

/** Where a home's snapshots are. */
export interface SnapshotDirs {
  readonly dataDir: string;
}

/** A snapshot as it lies on the disk. */
export interface Snapshot {
  readonly manifest: SnapshotManifest;
  readonly files: SavedFiles;
  /** SHA-256 of its manifest, hex, which has the hashes and stamps of the rest: by this others know it */
  readonly digest: string;
}

const NAME = /^[a-z0-9][a-z0-9._-]{0,62}$/i;

/** @throws SmolVMError CONFIG_INVALID */
export function requireSnapshotName(name: unknown): asserts name is string {
  if (typeof name === "string" && NAME.test(name)) return;
  throw new SmolVMError(
    "CONFIG_INVALID",
    `the snapshot name ${shown(name)} is not 1 to 63 letters, digits, dots, dashes and underscores that begin with a letter or digit`,
    { hint: "Choose another name, such as before-upgrade." },
  );
}

/**
 * The snapshot of that name.
 * @throws SmolVMError SNAPSHOT_NOT_FOUND, SNAPSHOT_INVALID (its manifest is damaged), CONFIG_INVALID
 */
export function findSnapshot(dirs: SnapshotDirs, name: string): Snapshot {
  requireSnapshotName(name);
  const files = savedFiles(join(snapshotsDir(dirs), name));
  let text: string;
  try {
    text = readFileSync(files.manifest, "utf8");
  } catch (cause) {
    if (existsSync(files.dir)) throw damaged(name, "its manifest is missing", cause);
    throw new SmolVMError("SNAPSHOT_NOT_FOUND", `there is no snapshot '${name}'`, {
      hint: "List them: smolvm snapshot ls",
      details: { name },
    });
  }
  let manifest: SnapshotManifest;
  try {
    manifest = JSON.parse(text) as SnapshotManifest;
  } catch (cause) {
    throw damaged(name, "its manifest is damaged", cause);
  }
  if (manifest.format !== SNAPSHOT_FORMAT && manifest.format !== DIFFERENCE_FORMAT)
    throw damaged(name, "it is of another version of smolvm");
  if (manifest.name !== name) throw damaged(name, `its manifest is that of '${manifest.name}'`);
  return { manifest, files, digest: hashOf(Buffer.from(text)) };
}

/** All of a home, oldest first; what is damaged is left out. */
export function listSnapshots(dirs: SnapshotDirs): Snapshot[] {
  const root = snapshotsDir(dirs);
  const names = existsSync(root) ? readdirSync(root).filter((name) => NAME.test(name)) : [];
  const found = names.flatMap((name) => {
    try {
      return [findSnapshot(dirs, name)];
    } catch {
      return [];
    }
  });
  return found.sort((a, b) => a.manifest.createdAt - b.manifest.createdAt);
}

/**
 * Looks whether a snapshot's files are what was saved. The large ones are not read: that would take longer than to start from them.
 * @returns its memory; undefined for a disk alone
 * @throws SmolVMError SNAPSHOT_INVALID
 */
export function checkSnapshot({ manifest, files }: Snapshot): SavedMemory | undefined {
  const { name, memory, disk } = manifest;
  try {
    if (!isSame(disk, stampOf(files.disk))) throw damaged(name, "its disk was changed or moved");
    requireMap(manifest, files.diskMap, manifest.diskMapSha256);
    if (memory === undefined) return undefined;
    requireMap(manifest, files.memoryMap, memory.mapSha256);
    if (!isSame(memory.file, stampOf(files.memory))) throw damaged(name, "its memory was changed or moved");
    const state = readFileSync(files.state);
    if (hashOf(state) !== memory.stateSha256) throw damaged(name, "the state of its devices was changed");
    const code = keptCode(files.code, memory.code);
    return { memory: files.memory, state, code, withoutSlirp: memory.withoutSlirp === true };
  } catch (error) {
    if (error instanceof SmolVMError) throw error;
    throw damaged(name, (error as Error).message, error);
  }
}

/** @throws SmolVMError SNAPSHOT_INVALID; as readFileSync does */
function requireMap({ name }: SnapshotManifest, path: string, sha256: string | undefined): void {
  if (sha256 === undefined || hashOf(readFileSync(path)) === sha256) return;
  throw damaged(name, "the map of what is its own was changed");
}

/** A directory for a snapshot in the making, which nobody takes for one. Its name tells who makes it. */
export function makeWorkDir(dirs: SnapshotDirs, maker: string): SavedFiles {
  const dir = join(snapshotsDir(dirs), `.${maker}`);
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  return savedFiles(dir);
}

/** Makes what was made the snapshot of that name. @throws SmolVMError SNAPSHOT_EXISTS */
export function publishSnapshot(dirs: SnapshotDirs, work: SavedFiles, name: string): void {
  try {
    renameSync(work.dir, join(snapshotsDir(dirs), name)); // refused, unless that is an empty directory
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === "ENOTEMPTY" || code === "EEXIST") throw existsError(name);
    throw cause;
  }
}

/** @throws SmolVMError SNAPSHOT_EXISTS */
export function requireFreeName(dirs: SnapshotDirs, name: string): void {
  if (existsSync(join(snapshotsDir(dirs), name))) throw existsError(name);
}

/**
 * Takes a snapshot's name from it: nobody finds it any more. Sandboxes that were restored from it keep what they have.
 * @returns its directory, which is to be removed
 * @throws SmolVMError SNAPSHOT_NOT_FOUND, CONFIG_INVALID
 */
export function setAside(dirs: SnapshotDirs, name: string, remover: string): string {
  requireSnapshotName(name);
  const aside = join(snapshotsDir(dirs), `.${remover}${REMOVED}`);
  try {
    renameSync(join(snapshotsDir(dirs), name), aside); // nobody finds half of one
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "ENOENT") throw cause;
    throw new SmolVMError("SNAPSHOT_NOT_FOUND", `there is no snapshot '${name}'`, {
      hint: "List them: smolvm snapshot ls",
      details: { name },
    });
  }
  return aside;
}

/** What its files take of the disk, in bytes: they are sparse. */
export function diskBytesOf({ files }: Snapshot): number {
  return [files.memory, files.state, files.code, files.disk, files.memoryMap, files.diskMap].reduce(
    (sum, path) => sum + (statSync(path, { throwIfNoEntry: false })?.blocks ?? 0) * 512,
    0,
  );
}

function existsError(name: string): SmolVMError {
  return new SmolVMError("SNAPSHOT_EXISTS", `a snapshot named '${name}' exists`, {
    hint: `Choose another name, or remove it: smolvm snapshot rm ${name}`,
    details: { name },
  });
}

export function damaged(name: string, why: string, cause?: unknown): SmolVMError {
  return new SmolVMError("SNAPSHOT_INVALID", `snapshot '${name}': ${why}`, {
    hint: `Remove it, and take a new one: smolvm snapshot rm ${name}`,
    details: { name },
    cause,
  });
}
