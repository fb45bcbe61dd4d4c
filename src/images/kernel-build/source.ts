import { copyFile, mkdir, readdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { SmolVMError } from "../../errors.ts";
import type { Deadline } from "../../util/deadline.ts";
import { rename, rm } from "../../util/files-go.ts";
import { Apt } from "../debian/apt.ts";
import { hostMirror } from "../debian/mirror.ts";
import { runTool } from "../debian/tools.ts";
import type { KernelLayout } from "../store/kernel-layout.ts";
import { sha256File } from "../store/manifest.ts";
import type { KernelRecipe, SourcePin } from "./recipe.ts";

/** A kernel source tree, ready to be configured. */
export interface KernelSource extends SourcePin {
  /** it is the version that the recipe pins */
  readonly pinned: boolean;
  /** directory with the kernel's Makefile */
  readonly tree: string;
  /** when Debian made the package, in seconds since 1970: the only date that goes into a kernel */
  readonly date: number;
}

export interface SourceOptions {
  readonly deadline: Deadline;
  readonly workDir: string;
  readonly mirror?: string | undefined;
  /** take what the archive has now instead of the pinned version */
  readonly newest?: boolean | undefined;
  readonly onMessage: (message: string) => void;
}

/**
 * Fetches the kernel source package with apt (which checks it against Debian's signatures), compares it with the recipe's
 * hash, and unpacks it. A package that was fetched before is used again if its hash is right.
 * @throws SmolVMError DEPENDENCY_MISSING, IMAGE_BUILD_FAILED, TIMEOUT, ABORTED
 */
export async function prepareSource(
  layout: KernelLayout,
  recipe: KernelRecipe,
  options: SourceOptions,
): Promise<KernelSource> {
  const { deadline, workDir, onMessage } = options;
  const source = await fetchSource(layout, recipe, options);
  onMessage(`unpacking ${source.package} ${source.version}`);
  const unpacked = join(workDir, "package");
  await mkdir(unpacked);
  await runTool("dpkg-deb", ["-x", layout.source(source.sha256), unpacked], { deadline });
  const archive = join(unpacked, "usr", "src", `${source.package}.tar.xz`);
  // Debian's packages keep the date of their changelog on what they build.
  const date = await stat(archive).then(
    ({ mtimeMs }) => Math.floor(mtimeMs / 1000),
    (error: unknown) => {
      throw new SmolVMError("IMAGE_BUILD_FAILED", `${source.package} holds no ${source.package}.tar.xz`, {
        cause: error,
      });
    },
  );
  const into = join(workDir, "source");
  await mkdir(into);
  await runTool("tar", ["-xJf", archive, "-C", into, "--strip-components=1", "--no-same-owner"], {
    deadline,
  });
  await rm(unpacked, { recursive: true });
  return { ...source, tree: into, date };
}

async function fetchSource(
  layout: KernelLayout,
  { arch, source: pin }: KernelRecipe,
  { deadline, workDir, newest, onMessage, ...options }: SourceOptions,
): Promise<SourcePin & { readonly pinned: boolean }> {
  if (!newest && (await isWhole(layout.source(pin.sha256), pin.sha256))) return { ...pin, pinned: true };

  const mirror = options.mirror ?? (await hostMirror(deadline));
  onMessage(`reading the package lists of ${mirror}`);
  const apt = await Apt.open(join(workDir, "apt"), { arch, mirror, deadline });
  const exact = `${pin.package}=${pin.version}`;
  const pinnedIsThere = !newest && (await apt.show(exact).then(Boolean, () => false));
  deadline.check();
  if (!newest && !pinnedIsThere) {
    // Debian keeps a version for some months; then a build must be possible all the same.
    onMessage(`Debian no longer has ${exact}; taking its newest version`);
  }
  const wanted = pinnedIsThere ? exact : pin.package;
  const version = pinnedIsThere ? pin.version : ((await apt.show(wanted)).get("Version") ?? "");

  onMessage(`downloading ${pin.package} ${version} (140 MB)`);
  const deb = await apt.download(wanted);
  const sha256 = await sha256File(deb);
  const pinned = version === pin.version;
  if (pinned && sha256 !== pin.sha256) {
    throw new SmolVMError(
      "IMAGE_BUILD_FAILED",
      `${pin.package} ${version} is not the package that the recipe names (sha256 ${sha256} instead of ${pin.sha256})`,
      { hint: "Do not use this mirror.", details: { sha256, expected: pin.sha256 } },
    );
  }
  await keep(deb, layout.source(sha256));
  return { package: pin.package, version, sha256, pinned };
}

async function isWhole(path: string, sha256: string): Promise<boolean> {
  try {
    return (await sha256File(path)) === sha256;
  } catch {
    return false; // not there
  }
}

/** One source package is kept, for the other architecture and for builds with another configuration. */
async function keep(deb: string, target: string): Promise<void> {
  const directory = dirname(target);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  for (const old of await readdir(directory)) await rm(join(directory, old), { force: true });
  const temporary = `${target}.${process.pid}.tmp`;
  await copyFile(deb, temporary);
  await rename(temporary, target);
}
