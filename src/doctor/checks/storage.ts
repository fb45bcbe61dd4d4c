import { accessSync, constants, existsSync } from "node:fs";
import { homedir } from "node:os";
import { join, win32 } from "node:path";
import { DEFAULT_IMAGE } from "../../config/defaults.ts";
import { isSmolVMError } from "../../errors.ts";
import { diskSpace } from "../../host/files/disk-space.ts";
import { vmFiles } from "../../host/files/filenames.ts";
import { ensurePaths } from "../../host/files/paths.ts";
import { nativeProgram, packageDir } from "../../host/package.ts";
import { agentFile } from "../../images/boot/agent.ts";
import { installedGuest } from "../../images/bundle/package.ts";
import { listImages } from "../../images/store/store.ts";
import { checkStore, storePath } from "../../store/store.ts";
import { isNoSpace } from "../../util/no-space.ts";
import { type Check, type CheckResult, fail, pass, warn } from "../check.ts";
import { isOutdated } from "./native-sources.ts";

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;
/** Below this not even a sandbox that writes nothing is sure to start. */
const DISK_NEEDED_BYTES = 32 * MIB;
/** Room for the default image while it is built, and for the disks of a few sandboxes. */
const DISK_WANTED_BYTES = 2 * GIB;

/** The default image with its kernel. */
export const image: Check = async ({ paths, arch, platform }) => {
  const name = "Image";
  // Images are made on Linux; elsewhere they come from there (docs/images.md).
  const build =
    platform === "linux"
      ? `smolvm image build ${DEFAULT_IMAGE}`
      : "Bring one that a Linux machine has exported (smolvm image export): smolvm image import FILE";
  try {
    const images = await listImages({ cacheDir: paths.cacheDir });
    const found = images.find((entry) => entry.name === DEFAULT_IMAGE && entry.arch === arch);
    if (found === undefined && installedGuest(arch, DEFAULT_IMAGE) !== undefined)
      return pass(name, `${DEFAULT_IMAGE}, from the installed guest bundle when it is first used`);
    if (found === undefined) return warn(name, `the default image '${DEFAULT_IMAGE}' is not built`, build);
    return pass(
      name,
      `${DEFAULT_IMAGE} (kernel ${found.kernelVersion}, ${Math.round(found.sizeBytes / 1024 ** 2)} MiB)`,
    );
  } catch (error) {
    if (isSmolVMError(error)) return fail(name, error.message, error.hint);
    throw error;
  }
};

/** The static programs that the package ships: the guest's agent, and the host's monitor on Linux and Windows. */
export const nativePrograms: Check = ({ arch, platform, paths }) => {
  const hasMonitor = platform === "linux" || platform === "win32";
  const name = "Native programs";
  const fix = "From a checkout: scripts/build-native.sh. Else install the package again: npm install smolvm";
  if (!existsSync(agentFile(paths, arch))) return fail(name, `the agent for ${arch} guests is missing`, fix);
  if (hasMonitor && nativeProgram("monitor") === undefined) {
    return warn(name, "agent; the monitor is missing, and a slower one takes its place", fix);
  }
  if (isOutdated(packageDir(), arch))
    return warn(name, "built from other sources than those that are here", "scripts/build-native.sh");
  return pass(name, hasMonitor ? "agent, monitor" : "agent");
};

/** Room for images and the sandboxes' disks. */
export const disk: Check = ({ paths }) => {
  const name = "Disk space";
  const [tightest] = [paths.dataDir, paths.cacheDir]
    .map((path) => ({ path, freeBytes: diskSpace(nearestExisting(path)).freeBytes }))
    .sort((a, b) => a.freeBytes - b.freeBytes);
  const { path, freeBytes } = tightest!;
  const detail = `${freeBytes >= GIB ? `${(freeBytes / GIB).toFixed(1)} GiB` : `${Math.floor(freeBytes / MIB)} MiB`} free in ${path}`;
  const fix = `Free some space: df -h '${nearestExisting(path)}'. Or use a larger disk: export SMOLVM_HOME=DIRECTORY`;
  if (freeBytes < DISK_NEEDED_BYTES) return fail(name, detail, fix);
  return freeBytes < DISK_WANTED_BYTES ? warn(name, detail, fix) : pass(name, detail);
};

/** The list of sandboxes. */
export const store: Check = ({ paths }) => {
  const name = "Store";
  if (!existsSync(storePath(paths.dataDir))) return pass(name, "none yet");
  try {
    const count = checkStore(paths.dataDir);
    return pass(name, `${count} ${count === 1 ? "sandbox" : "sandboxes"}`);
  } catch (error) {
    if (isSmolVMError(error)) return fail(name, error.message, error.hint);
    throw error;
  }
};

/** The directories of the data, the cache and the sockets: ours, private, and short enough for sockets. */
export const directories: Check = ({ paths, platform, env }) => {
  const name = "Directories";
  try {
    ensurePaths(paths);
    // The images for all users are root's to write.
    for (const path of [paths.dataDir, paths.cacheDir, paths.runtimeDir]) accessSync(path, constants.W_OK);
    vmFiles(paths.dataDir, paths.runtimeDir, "x".repeat(ID_LENGTH)).channel(31);
  } catch (error) {
    if (isSmolVMError(error)) return fail(name, error.message, error.hint);
    const { message } = error as Error;
    return fail(
      name,
      message,
      isNoSpace(error)
        ? `Free some space: df -h '${nearestExisting(paths.dataDir)}'`
        : "Use a directory that you may write: export SMOLVM_HOME=DIRECTORY",
    );
  }
  return (
    lingering(paths.runtimeDir, platform, env.userHome) ??
    outsideProfile([paths.dataDir, paths.runtimeDir], platform, homedir()) ??
    pass(name, `${paths.dataDir}, ${paths.runtimeDir}`)
  );
};

/** Characters of a sandbox's id, which its socket paths hold. */
const ID_LENGTH = 16;

/** /run/user/UID goes away with the user's last session, and with it the sockets of sandboxes that still run. */
function lingering(
  runtimeDir: string,
  platform: NodeJS.Platform,
  userHome: string | undefined,
): CheckResult | undefined {
  const user = /^\/run\/user\/\d+\//.test(runtimeDir) ? userHome?.split("/").at(-1) : undefined;
  if (platform !== "linux" || user === undefined || !existsSync("/run/systemd/system")) return undefined;
  if (existsSync(`/var/lib/systemd/linger/${user}`)) return undefined;
  return warn(
    "Directories",
    `${runtimeDir} goes away when you log out, and detached sandboxes become unreachable`,
    "loginctl enable-linger",
  );
}

/**
 * On Windows a directory has the permissions of the one that it is made in: below the user's profile others have none, elsewhere every user may mostly
 * read and make files. Pure.
 */
export function outsideProfile(
  directories: readonly string[],
  platform: NodeJS.Platform,
  profile: string,
): CheckResult | undefined {
  if (platform !== "win32") return undefined;
  const below = `${win32.resolve(profile).toLowerCase()}\\`;
  const outside = directories.find((path) => !win32.resolve(path).toLowerCase().startsWith(below));
  if (outside === undefined) return undefined;
  return warn(
    "Directories",
    `${outside} is outside of your profile, where other users of this machine may have access`,
    `icacls "${outside}" /inheritance:r /grant:r "$($env:USERNAME):(OI)(CI)F" (in PowerShell; if that is done, all is well)`,
  );
}

function nearestExisting(path: string): string {
  let current = path;
  while (!existsSync(current)) {
    const parent = join(current, "..");
    if (parent === current) break;
    current = parent;
  }
  return current;
}
