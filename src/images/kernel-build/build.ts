import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { OnProgress } from "../../config/progress.ts";
import type { Arch } from "../../config/spec.ts";
import { failpoint } from "../../host/failpoint.ts";
import { hostArch } from "../../host/hardware/facts.ts";
import { runProgram } from "../../host/process/run.ts";
import type { Deadline } from "../../util/deadline.ts";
import { orNoSpace } from "../../util/no-space.ts";
import { requireTools } from "../debian/tools.ts";
import { KERNEL_FILE } from "../kernel/debian-kernel.ts";
import { acquireLock } from "../store/build-lock.ts";
import { kernelLayout } from "../store/kernel-layout.ts";
import { addKernel, type BuiltKernel, listKernels, useKernel } from "../store/kernel-store.ts";
import type { ImageDirs } from "../store/layout.ts";
import { describeFiles } from "../store/manifest.ts";
import { inWorkDir } from "../store/work-dir.ts";
import { configure } from "./configure.ts";
import { buildEnvironment, type MakeOptions, make } from "./make.ts";
import { applyPatches } from "./patch.ts";
import { requireBuildPrograms } from "./programs.ts";
import { KERNEL_TARGETS, type KernelRecipe, readRecipe } from "./recipe.ts";
import { prepareSource } from "./source.ts";

export interface BuildKernelOptions {
  readonly arch: Arch;
  readonly deadline: Deadline;
  /** stages: wait, source, configure, compile (with a fraction), store */
  readonly onProgress?: OnProgress | undefined;
  /** build even if a kernel of this recipe is there */
  readonly force?: boolean | undefined;
  /** build Debian's newest source of the series instead of the pinned one (security updates) */
  readonly newest?: boolean | undefined;
  /** address of a Debian archive; default Debian's */
  readonly mirror?: string | undefined;
  /** directory with source.json and the fragments; default: the one that comes with smolvm */
  readonly recipeDir?: string | undefined;
}

/** A kernel that was built, or was there already. */
export interface BuildKernelResult {
  readonly kernel: BuiltKernel;
  /** false: a kernel of the same recipe was there and nothing was done */
  readonly built: boolean;
}

/**
 * Builds the trimmed guest kernel and makes it the one that is used for its architecture (kernel-store.ts, useKernel).
 * Takes minutes, 140 MB of download and 2.5 GiB of disk while it runs. One build at a time; what an interrupted one left
 * behind is removed first. The same recipe and compiler give the same bytes.
 * @throws SmolVMError DEPENDENCY_MISSING, IMAGE_BUILD_FAILED, NO_SPACE, TIMEOUT, ABORTED
 */
export async function buildKernel(dirs: ImageDirs, options: BuildKernelOptions): Promise<BuildKernelResult> {
  const { arch, deadline } = options;
  const recipe = await readRecipe(arch, options.recipeDir);
  const existing = async (): Promise<BuiltKernel | undefined> =>
    options.force || options.newest
      ? undefined
      : (await listKernels(dirs)).find((kernel) => kernel.manifest.recipe === recipe.key);

  const before = await existing();
  if (before !== undefined) return { kernel: await useKernel(dirs, before.name), built: false };
  requireTools(["apt-get", "apt-cache", "dpkg-deb", "tar"]);
  requireBuildPrograms(arch, hostArch());

  const layout = kernelLayout(dirs);
  const release = await acquireLock(layout.buildLock, deadline, (holder) => {
    options.onProgress?.({ stage: "wait", message: `another process builds a kernel (pid ${holder.pid})` });
  });
  try {
    const now = await existing();
    if (now !== undefined) return { kernel: await useKernel(dirs, now.name), built: false };
    return await inWorkDir(layout.work, async (workDir) => {
      try {
        const kernel = await cook(dirs, workDir, recipe, options);
        return { kernel: await useKernel(dirs, kernel.name), built: true };
      } catch (error) {
        throw explain(error, workDir);
      }
    });
  } finally {
    await release();
  }
}

async function cook(
  dirs: ImageDirs,
  workDir: string,
  recipe: KernelRecipe,
  options: BuildKernelOptions,
): Promise<BuiltKernel> {
  const { arch, deadline } = options;
  const target = KERNEL_TARGETS[arch];
  const progress = (stage: string, message: string, fraction?: number): void => {
    failpoint(`kernel ${stage}`);
    options.onProgress?.({ stage, message, ...(fraction === undefined ? {} : { fraction }) });
  };

  const source = await prepareSource(kernelLayout(dirs), recipe, {
    deadline,
    workDir,
    mirror: options.mirror,
    newest: options.newest,
    onMessage: (message) => progress("source", message),
  });
  await applyPatches(recipe, source, deadline);
  const makeOptions: MakeOptions = { recipe, source, deadline };

  progress("configure", `configuring ${source.package} ${source.version} for ${arch}`);
  const config = await configure(makeOptions);

  progress("compile", "compiling the kernel", 0);
  await make(target.goal, {
    ...makeOptions,
    onStep: (count) =>
      progress("compile", `compiling the kernel (${count} steps)`, Math.min(0.99, count / target.steps)),
  });

  progress("store", "hashing and storing");
  const result = join(workDir, "kernel");
  const file = KERNEL_FILE[arch];
  await mkdir(result);
  await copyFile(join(source.tree, target.output), join(result, file));
  const run = { deadline, cwd: source.tree, env: buildEnvironment(source.date) };
  // QEMU reads an ELF file's symbols before it starts the guest; whoever debugs has System.map.
  if (file === "vmlinux") await runProgram([`${target.crossPrefix}strip`, join(result, file)], run);
  await copyFile(join(source.tree, "System.map"), join(result, "System.map"));
  await writeFile(join(result, "config"), config);
  const compiler =
    (await runProgram([`${target.crossPrefix}gcc`, "--version"], run)).stdout.split("\n")[0] ?? "";
  const kernelVersion = await readFile(join(source.tree, "include", "config", "kernel.release"), "utf8");
  const files = await describeFiles(result, [file, "config", "System.map"]);
  const name = `${source.version}-${arch}-${files[0]!.sha256.slice(0, 12)}`;
  deadline.check();
  return addKernel(dirs, result, name, {
    version: 1,
    arch,
    kernelVersion: kernelVersion.trim(),
    recipe: recipe.key,
    source: {
      package: source.package,
      version: source.version,
      sha256: source.sha256,
      pinned: source.pinned,
      license: "GPL-2.0-only",
    },
    patches: recipe.patches.map(({ name, sha256 }) => ({ name, sha256 })),
    compiler,
    file,
    files,
    createdAt: new Date().toISOString(),
  });
}

function explain(error: unknown, workDir: string): unknown {
  return orNoSpace(error, "no space left to build the kernel: about 3 GiB are needed", workDir, {
    hint: `Free some space (df -h '${workDir}'), then run the build again.`,
  });
}
