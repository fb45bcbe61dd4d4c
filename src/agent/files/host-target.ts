import { lstat, realpath, stat } from "node:fs/promises";
import { basename, dirname, join, parse, resolve, sep } from "node:path";
import { SmolVMError } from "../../errors.ts";
import { makeDirectory } from "../../util/make-directory.ts";
import { randomBytes } from "../../util/random-bytes.ts";
import { windowsNameProblem } from "./entry-path.ts";
import { hostError } from "./host-error.ts";

/** Where a download goes on the host. */
export interface HostTarget {
  /** absolute, with the user's own symlinks resolved */
  readonly path: string;
  readonly kind: "absent" | "file" | "directory" | "other";
}

/**
 * Resolves the host path that a user named. Symlinks on it are the user's own, so they are followed; those that a sandbox
 * sends never are.
 *
 * @param parents make the directories above it that are missing
 * @throws SmolVMError CONFIG_INVALID, FILE_NOT_FOUND, FILE_TYPE, FILE_PERMISSION, NO_SPACE
 */
export async function hostTarget(hostPath: string, parents: boolean): Promise<HostTarget> {
  checkHostPath(hostPath);
  const named = resolve(hostPath);
  if (process.platform === "win32") checkWindowsNames(named);
  const what = "downloading";
  try {
    const path = await realpath(named);
    const stats = await stat(path);
    return { path, kind: stats.isFile() ? "file" : stats.isDirectory() ? "directory" : "other" };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw hostError(error, what, named);
  }
  if (await lstat(named).then(Boolean, () => false)) {
    throw new SmolVMError("FILE_TYPE", `${what} failed: '${named}' is a symlink to nothing`, {
      hint: `Remove it: rm '${named}'`,
      details: { side: "host", path: named, errno: "ENOENT" },
    });
  }
  const parent = dirname(named);
  try {
    if (parents) makeDirectory(parent);
    return { path: join(await realpath(parent), basename(named)), kind: "absent" };
  } catch (error) {
    const failure = hostError(error, what, parent);
    if (failure.code !== "FILE_NOT_FOUND") throw failure;
    throw new SmolVMError(
      "FILE_NOT_FOUND",
      `${what} failed: the directory '${parent}' does not exist on this machine`,
      {
        hint: "Create it first, or pass parents: true.",
        details: { side: "host", path: parent, errno: "ENOENT" },
      },
    );
  }
}

/** Throws CONFIG_INVALID for a host path that no system call takes. */
export function checkHostPath(path: string): void {
  if (typeof path !== "string" || path === "" || path.includes("\0")) {
    throw new SmolVMError("CONFIG_INVALID", "the path on this machine is empty or holds a NUL character");
  }
}

/**
 * Throws CONFIG_INVALID for a path that Windows would take for another (`file.`, `a:b`) or for a device (`aux.txt`), or that nothing but
 * Node could open and remove again.
 */
function checkWindowsNames(path: string): void {
  for (const name of path.slice(parse(path).root.length).split(sep)) {
    const problem = name === "" ? undefined : windowsNameProblem(name);
    if (problem === undefined) continue;
    throw new SmolVMError("CONFIG_INVALID", `the path '${path}' on this machine ${problem}`, {
      hint: "Give the copy another name.",
      details: { side: "host", path },
    });
  }
}

/** A name next to `path` that nobody uses: what is written there can be renamed over it. */
export function stagingPath(path: string): string {
  return join(dirname(path), `.smolvm-${randomBytes(9).toString("base64url")}`);
}
