import { constants, existsSync, type Stats, statSync } from "node:fs";
import { chmod, copyFile, link, lstat, mkdir, readdir, readlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Arch } from "../../config/spec.ts";
import { SmolVMError } from "../../errors.ts";
import type { Deadline } from "../../util/deadline.ts";
import { rename, rm } from "../../util/files-go.ts";
import { acquireLock } from "./build-lock.ts";
import {
  type ImageDirs,
  type ImageLayout,
  imageLayout,
  MANIFEST_FILE,
  refFileName,
  refName,
} from "./layout.ts";
import { type Manifest, manifestDigest } from "./manifest.ts";
import { inWorkDir } from "./work-dir.ts";

/** The layout of the images that are for all users of this machine; undefined: there are none, or none that this user can get to. */
export function sharedLayout({ sharedDir }: ImageDirs): ImageLayout | undefined {
  const layout = sharedDir === undefined ? undefined : imageLayout({ cacheDir: sharedDir });
  return layout !== undefined && existsSync(layout.root) ? layout : undefined;
}

/**
 * Sees to it that nobody but root (or this user) can have put an image there, or change it: what its files are is what its manifest says as far as that
 * can be told without reading them; `image inspect --verify` reads them.
 * @throws SmolVMError IMAGE_INVALID
 */
export function requireTrusted(layout: ImageLayout, digest: string, manifest: Manifest): void {
  const dir = layout.image(digest);
  const places = [dirname(layout.root), layout.root, layout.refs, layout.images, dir];
  for (const file of manifest.files) {
    const parts = file.path.split("/").slice(0, -1);
    places.push(...parts.map((_, index) => join(dir, ...parts.slice(0, index + 1))));
  }
  for (const path of new Set(places)) refuse(path, statOf(path), "directory");
  for (const { path, sizeBytes } of manifest.files) {
    const stats = statOf(join(dir, path));
    refuse(join(dir, path), stats, "file");
    if (stats!.size !== sizeBytes) throw untrusted(join(dir, path), "is not as large as its manifest says");
  }
  if (manifestDigest(manifest) !== digest) throw untrusted(join(dir, MANIFEST_FILE), "is of another image");
}

function statOf(path: string): Stats | undefined {
  return statSync(path, { throwIfNoEntry: false });
}

function refuse(path: string, stats: Stats | undefined, kind: "directory" | "file"): void {
  if (stats === undefined) throw untrusted(path, "is missing");
  if (kind === "file" ? !stats.isFile() : !stats.isDirectory()) throw untrusted(path, `is no ${kind}`);
  if (stats.uid !== 0 && stats.uid !== process.getuid?.())
    throw untrusted(path, `belongs to another user (uid ${stats.uid})`);
  if ((stats.mode & 0o022) !== 0 && process.platform !== "win32")
    throw untrusted(path, `may be written by others (mode ${(stats.mode & 0o777).toString(8)})`);
}

function untrusted(path: string, what: string): SmolVMError {
  return new SmolVMError("IMAGE_INVALID", `the image for all users is not used: '${path}' ${what}`, {
    hint: "Have it made again by who administers this machine: sudo smolvm image share NAME. Or pull one of your own: smolvm image pull NAME",
    details: { path },
  });
}

/**
 * Puts an image where all users of this machine have it, behind their own: its files are linked, or copied, and readable by everybody.
 * @param directory where its files are; they have been compared with its manifest
 * @throws SmolVMError FILE_PERMISSION (root does this), TIMEOUT, ABORTED
 */
export async function shareFiles(
  layout: ImageLayout,
  { name, arch, directory, manifest }: { name: string; arch: Arch; directory: string; manifest: Manifest },
  deadline: Deadline,
): Promise<void> {
  const digest = manifestDigest(manifest);
  try {
    // There are notes of root's own beside them: others may pass through, and no more.
    await open(dirname(layout.root), 0o711);
    for (const path of [layout.root, layout.images, layout.refs]) await open(path);
    const release = await acquireLock(layout.buildLock, deadline);
    try {
      await inWorkDir(layout.work, async (work) => {
        const target = join(work, "image");
        await open(target);
        for (const { path } of [...manifest.files, { path: MANIFEST_FILE }]) {
          deadline.check();
          for (const [index] of path.split("/").slice(1).entries())
            await open(join(target, ...path.split("/").slice(0, index + 1)));
          await linkOrCopy(join(directory, path), join(target, path));
          await chmod(join(target, path), 0o644);
        }
        await rm(layout.image(digest), { recursive: true, force: true });
        await rename(target, layout.image(digest));
        const ref = join(work, "ref");
        const inFile = refName(refFileName(name)) === undefined ? { name } : {};
        await writeFile(ref, `${JSON.stringify({ digest, ...inFile })}\n`, { mode: 0o644 });
        await chmod(ref, 0o644);
        await rename(ref, layout.ref(name, arch));
      });
    } finally {
      await release();
    }
  } catch (error) {
    throw orPermission(error, layout);
  }
}

/** A directory that everybody can look into. */
async function open(path: string, mode = 0o755): Promise<void> {
  await mkdir(path, { mode }).catch((error) => {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  });
  const stats = await lstat(path);
  if ((stats.mode & 0o777) !== mode) await chmod(path, mode);
}

/** On one file system, and where that is allowed, it takes no room again. */
export async function linkOrCopy(from: string, to: string): Promise<"linked" | "copied"> {
  try {
    await link(from, to);
    return "linked";
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "EXDEV" && code !== "EPERM" && code !== "EACCES" && code !== "EMLINK") throw error;
    await copyFile(from, to, constants.COPYFILE_FICLONE);
    return "copied";
  }
}

/**
 * Takes an image from all users, and its files if no other name stands for them.
 * @param others digests that other names there stand for
 * @throws SmolVMError IMAGE_IN_USE, FILE_PERMISSION
 */
export async function unshareFiles(
  layout: ImageLayout,
  { name, arch, digest }: { name: string; arch: Arch; digest: string },
  others: readonly string[],
): Promise<void> {
  const users = await processesWith(layout.image(digest));
  if (users.length > 0)
    throw new SmolVMError("IMAGE_IN_USE", `the image '${name}' is used by ${users.join(", ")}`, {
      hint: "Have those sandboxes stopped first, by the users whose they are: smolvm ls; smolvm stop NAME",
      details: { image: name, arch, usedBy: users },
    });
  try {
    await rm(layout.ref(name, arch), { force: true });
    if (!others.includes(digest)) await rm(layout.image(digest), { recursive: true, force: true });
  } catch (error) {
    throw orPermission(error, layout);
  }
}

/** Processes that have a file below a directory open, as "process PID (uid UID)": as far as this user may look. */
async function processesWith(directory: string): Promise<string[]> {
  const users: string[] = [];
  for (const pid of (await readdir("/proc").catch(() => [])).filter((name) => /^\d+$/.test(name))) {
    const fds = await readdir(`/proc/${pid}/fd`).catch(() => []);
    const targets = await Promise.all(fds.map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => "")));
    if (!targets.some((target) => target.startsWith(`${directory}/`))) continue;
    const uid = (await lstat(`/proc/${pid}`).catch(() => undefined))?.uid;
    users.push(`process ${pid} (uid ${uid ?? "unknown"})`);
  }
  return users;
}

function orPermission(error: unknown, { root }: ImageLayout): unknown {
  const { code } = error as { code?: unknown };
  if (code !== "EACCES" && code !== "EPERM" && code !== "EROFS") return error;
  return new SmolVMError("FILE_PERMISSION", `you may not write '${root}'`, {
    hint: "Images for all users are root's to give: sudo smolvm image share NAME",
    details: { path: root },
    cause: error as Error,
  });
}
