import { realpathSync, type Stats, statSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, resolve, sep } from "node:path";
import { guestPlace, type HostMount, type MountSpec } from "../../config/mounts.ts";
import { SmolVMError } from "../../errors.ts";
import type { Paths } from "../../host/files/paths.ts";

/**
 * A mount as it is kept: its path as the host's kernel resolves it now, so that a link which is put there later leads nowhere else.
 * @throws SmolVMError FILE_NOT_FOUND, FILE_TYPE, FILE_PERMISSION; CONFIG_INVALID for what is not shared without being asked for twice
 */
export function shareable(mount: HostMount, paths: Paths): MountSpec {
  const { mode = "ro", coherence = "events" } = mount;
  const asked = resolve(mount.host);
  const { host, stat } = found(mount.host, asked);
  if (!stat.isDirectory() && !stat.isFile()) {
    throw new SmolVMError("FILE_TYPE", `'${mount.host}' is neither a directory nor a file`, {
      hint: "Directories and files of the host can be mounted in a sandbox. Look at it: ls -ld PATH",
      details: { path: host },
    });
  }
  const why = whyNot(host, asked, ownDirectories(paths), homedir());
  if (why !== undefined && mount.shareAnyway !== true) {
    throw new SmolVMError("CONFIG_INVALID", `'${mount.host}' is not shared unasked: ${why}`, {
      hint: "Share a directory that holds nothing else; or, if that is what you want: --yes-share-it (in the SDK: shareAnyway: true)",
      details: { path: host },
    });
  }
  if (stat.isFile() && mode === "overlay") {
    throw new SmolVMError(
      "CONFIG_INVALID",
      `'${mount.host}' is a file, and only a directory can be an overlay`,
      {
        hint: "Mount the directory that it is in, or the file with the mode ro or rw.",
        details: { path: host },
      },
    );
  }
  return { host, guest: guestPlace(mount.guest), mode, coherence, file: stat.isFile() };
}

/**
 * That the path of a mount is still what it was when it was allowed.
 * @throws SmolVMError FILE_NOT_FOUND, FILE_PERMISSION; CONFIG_INVALID: a link has taken its place
 */
export function requireUnmoved({ host, guest }: MountSpec): void {
  const now = found(host, host);
  if (now.host === host) return;
  throw new SmolVMError(
    "CONFIG_INVALID",
    `'${host}', which is mounted at '${guest}', is a symlink to '${now.host}' now`,
    {
      hint: `Mount that one, if it is what you want: smolvm unmount NAME ${guest}`,
      details: { path: host },
    },
  );
}

/** What its path leads to at this moment. */
function found(given: string, asked: string): { readonly host: string; readonly stat: Stats } {
  try {
    const host = realpathSync.native(asked);
    return { host, stat: statSync(host) };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const denied = code === "EACCES" || code === "EPERM";
    throw new SmolVMError(
      denied ? "FILE_PERMISSION" : "FILE_NOT_FOUND",
      denied ? `'${given}' cannot be looked at` : `there is no directory or file '${given}' on this machine`,
      { hint: "Make it first, or look at the path: ls -ld PATH", details: { path: asked }, cause: error },
    );
  }
}

/** What nobody shares without meaning it, and why; undefined: it is shared. Pure. */
export function whyNot(
  host: string,
  asked: string,
  own: readonly string[],
  home: string,
): string | undefined {
  if (dirname(host) === host) return "it is the whole file system";
  const ours = own.find((dir) => isWithin(host, dir) || isWithin(dir, host));
  if (ours !== undefined) return `smolvm keeps its own files in '${ours}'`;
  if (host === home) return "it is your home directory, with all that it holds";
  if (isWithin(home, host)) return "your home directory is in it";
  if (host !== asked) return `a symlink leads from it to '${host}'`;
  return undefined;
}

/** Whether a path is a directory or below it. Pure. */
function isWithin(path: string, dir: string): boolean {
  return path === dir || path.startsWith(dir.endsWith(sep) ? dir : dir + sep);
}

function ownDirectories({ dataDir, runtimeDir, cacheDir }: Paths): string[] {
  return [dataDir, runtimeDir, cacheDir].flatMap((dir) => {
    try {
      return [realpathSync.native(dir)];
    } catch {
      return []; // not made yet
    }
  });
}
