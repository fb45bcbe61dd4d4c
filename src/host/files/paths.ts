import {
  accessSync,
  chmodSync,
  constants,
  lstatSync,
  readFileSync,
  type Stats,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, isAbsolute, join, resolve } from "node:path";
import { SmolVMError } from "../../errors.ts";
import { renameSync } from "../../util/files-go.ts";
import { makeDirectory } from "../../util/make-directory.ts";
import { shortHash } from "../../util/short-hash.ts";
import { type PlaceVariables, readPlaceVariables } from "../place-variables.ts";
import { absoluteHome, dataAndCache } from "./base-directories.ts";

/** Where things live. */
export interface Paths {
  /** the store, sandboxes and images: what must not be lost */
  readonly dataDir: string;
  /** what can be made again */
  readonly cacheDir: string;
  /** sockets and locks: short, private, may be gone after a reboot */
  readonly runtimeDir: string;
  /** what root has set up for all users of this machine; absent where there is no such place */
  readonly sharedDir?: string | undefined;
}

/** The user whose directories they are. */
export interface PathUser {
  readonly uid: number;
  readonly homedir: string;
  readonly tmpdir: string;
  /** root that may not write to /run: of a user namespace on a machine of others */
  readonly withoutRun?: boolean | undefined;
}

/**
 * Where things live: under `SMOLVM_HOME` if it is set, else by the XDG base directories (macOS: ~/Library; Windows:
 * %LOCALAPPDATA%). Sockets go to a directory that a hash of the data directory names, in `$XDG_RUNTIME_DIR`, else in /run (root) or
 * /tmp: whoever clears up what nobody has removes all of it, so homes never share it, whichever variable tells them apart. Pure.
 */
export function resolvePaths(env: PlaceVariables, platform: NodeJS.Platform, user: PathUser): Paths {
  const { dataDir, cacheDir } = dataAndCache(env, platform, user.homedir);
  // 40 bits: the name only has to tell one user's few homes apart; the owner is checked.
  const hash = homeHash(dataDir);
  return { dataDir, cacheDir, runtimeDir: runtime(env, platform, user, hash) };
}

function runtime(env: PlaceVariables, platform: NodeJS.Platform, user: PathUser, hash: string): string {
  if (platform === "win32") return join(user.tmpdir, `smolvm-${hash}`);
  // macOS: os.tmpdir() is private to the user but 50 bytes long already, which leaves too little of 104.
  const ownsRun = user.uid === 0 && platform === "linux" && user.withoutRun !== true;
  const shared = ownsRun ? "/run" : "/tmp";
  const session = platform === "linux" ? env.xdgRuntimeDir : undefined;
  if (session !== undefined && isAbsolute(session)) {
    return join(session, `smolvm-${hash}`);
  }
  return join(shared, shared === "/run" ? `smolvm-${hash}` : `smolvm-${user.uid}-${hash}`);
}

/** File in the data directory that names the directory of the sockets which is in use. */
const RUNTIME_NOTE = "runtime-dir";

/**
 * {@link resolvePaths} for this process, from its environment and user. A runtime directory that is in use is kept:
 * a login, cron and sudo set XDG_RUNTIME_DIR differently, and all must find the sockets of the same sandboxes.
 */
export function processPaths(): Paths {
  const uid = process.getuid?.() ?? -1;
  const variables = readPlaceVariables(process.env);
  const paths = resolvePaths(variables, process.platform, {
    uid,
    homedir: absoluteHome(),
    tmpdir: tmpdir(),
    withoutRun: uid === 0 && !isWritable("/run"),
  });
  const runtimeDir = notedRuntimeDir(paths.dataDir, uid) ?? paths.runtimeDir;
  const sharedDir = sharedDirectory(variables, process.platform);
  return { ...paths, runtimeDir, ...(sharedDir === undefined ? {} : { sharedDir }) };
}

/** {@link processPaths}' directory for what can be made again alone: where the sockets are is not looked at. */
export function processCacheDir(): string {
  return dataAndCache(readPlaceVariables(process.env), process.platform, absoluteHome()).cacheDir;
}

/** Where root puts what is for all users: on Linux. Pure. */
function sharedDirectory({ sharedDir }: PlaceVariables, platform: NodeJS.Platform): string | undefined {
  if (sharedDir !== undefined) return resolve(sharedDir);
  return platform === "linux" ? "/var/lib/smolvm" : undefined;
}

function isWritable(directory: string): boolean {
  try {
    accessSync(directory, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** The runtime directory that an earlier process used, if it is still there and ours. */
function notedRuntimeDir(dataDir: string, uid: number): string | undefined {
  try {
    const noted = readFileSync(join(dataDir, RUNTIME_NOTE), "utf8").trim();
    return isAbsolute(noted) && refuseDirectory(lstatSync(noted), uid) === undefined ? noted : undefined;
  } catch {
    return undefined; // none was noted, or it went away with the session
  }
}

function noteRuntimeDir({ dataDir, runtimeDir }: Paths): void {
  const path = join(dataDir, RUNTIME_NOTE);
  try {
    if (readFileSync(path, "utf8").trim() === runtimeDir) return;
  } catch {
    // not noted yet
  }
  writeFileSync(`${path}.${process.pid}`, `${runtimeDir}\n`, { mode: 0o600 });
  renameSync(`${path}.${process.pid}`, path);
}

/**
 * Creates the three directories, private (0700), and checks that nobody else could have put something into them. Data and cache may be there
 * already and be others' as well (another program has the name smolvm, too): they keep the mode that they have, and what is ours in them is
 * private itself.
 */
export function ensurePaths(paths: Paths): void {
  // Data may be a link to a larger disk; the sockets' directory lies where others could plant a link.
  ensurePrivateDir(paths.dataDir, { allowLink: true, keepMode: true });
  ensurePrivateDir(paths.cacheDir, { allowLink: true, keepMode: true });
  ensurePrivateDir(paths.runtimeDir);
  noteRuntimeDir(paths);
}

/**
 * Makes a directory that only this user may enter, or checks that it is one. A directory of ours that others may read
 * is closed to them (but see `keepMode`, and one that they cannot get to is left as it is); one that is not ours, or that others may write, is
 * refused: they could have put things into it.
 * @throws SmolVMError HOST_FAILED
 */
export function ensurePrivateDir(
  directory: string,
  options: { allowLink?: boolean; keepMode?: boolean } = {},
): void {
  try {
    makeDirectory(directory, 0o700);
  } catch (error) {
    throw new SmolVMError("HOST_FAILED", cannotBeMade(directory, error as NodeJS.ErrnoException), {
      hint: "Set SMOLVM_HOME to a directory that you may write.",
      cause: error,
    });
  }
  if (process.platform === "win32") return; // the profile's directories are private there
  const stat = options.allowLink ? statSync(directory) : lstatSync(directory);
  const refusal = refuseDirectory(stat, process.getuid?.() ?? -1);
  if (refusal !== undefined) {
    throw new SmolVMError("HOST_FAILED", `the directory '${directory}' ${refusal}`, {
      hint: `Remove it or, if what is in it is yours, close it to others: chmod go-w '${directory}'. Or set SMOLVM_HOME (and XDG_RUNTIME_DIR) to directories of your own.`,
      details: { directory, uid: stat.uid, mode: (stat.mode & 0o7777).toString(8) },
    });
  }
  if ((stat.mode & 0o077) === 0 || options.keepMode || isPrivate(dirname(directory))) return;
  chmodSync(directory, 0o700);
}

/** Only this user can get to what is in it. */
function isPrivate(directory: string): boolean {
  const { uid, mode } = statSync(directory);
  return uid === process.getuid?.() && (mode & 0o077) === 0;
}

function cannotBeMade(directory: string, error: NodeJS.ErrnoException): string {
  const why = error.code === "EEXIST" ? "a file of that name is there" : error.message;
  return `the directory '${directory}' cannot be made: ${why}`;
}

/** Why a directory must not be used by `uid`, or undefined. Pure. */
export function refuseDirectory(
  stat: Pick<Stats, "uid" | "gid" | "mode" | "isDirectory">,
  uid: number,
): string | undefined {
  if (!stat.isDirectory()) return "is not a directory (or is a symbolic link)";
  if (stat.uid !== uid) return `belongs to another user (uid ${stat.uid})`;
  if ((stat.mode & 0o002) !== 0)
    return `may be written by everyone (mode ${(stat.mode & 0o777).toString(8)})`;
  // Many systems give each user a group of their own, with the same number.
  if ((stat.mode & 0o020) !== 0 && stat.gid !== stat.uid)
    return `may be written by its group (gid ${stat.gid}, mode ${(stat.mode & 0o777).toString(8)})`;
  return undefined;
}

/** What tells the homes of one machine apart in names: 10 hex digits. */
export function homeHash(dataDir: string): string {
  return shortHash(dataDir);
}
