import { availableParallelism } from "node:os";
import { runProgram } from "../../host/process/run.ts";
import type { Deadline } from "../../util/deadline.ts";
import { SYSTEM_DIRECTORIES } from "./programs.ts";
import { KERNEL_TARGETS, type KernelRecipe } from "./recipe.ts";
import type { KernelSource } from "./source.ts";

export interface MakeOptions {
  readonly recipe: KernelRecipe;
  readonly source: KernelSource;
  readonly deadline: Deadline;
  /** called for each step of the build that is printed, with their number so far */
  readonly onStep?: (count: number) => void;
}

/** A build is a guest on this machine: whatever else runs comes first. */
const NICENESS = 15;

/**
 * Runs `make GOAL` in the kernel's source tree. In the tree itself, not in a directory beside it: so all paths that the
 * compiler sees are relative, and none gets into the kernel.
 * @throws SmolVMError IMAGE_BUILD_FAILED with the last lines of the compiler, TIMEOUT, ABORTED
 */
export async function make(goal: string, options: MakeOptions): Promise<void> {
  const { recipe, source, deadline, onStep } = options;
  const { kernelArch, crossPrefix } = KERNEL_TARGETS[recipe.arch];
  let count = 0;
  await runProgram(
    [
      ...["nice", "-n", String(NICENESS)],
      ...["make", `-j${availableParallelism()}`],
      ...[`ARCH=${kernelArch}`, `CROSS_COMPILE=${crossPrefix}`, "LOCALVERSION=", goal],
    ],
    {
      deadline,
      cwd: source.tree,
      env: buildEnvironment(source.date),
      errorCode: "IMAGE_BUILD_FAILED",
      onStdout: (chunk) => {
        const steps = countSteps(chunk);
        count += steps;
        if (steps > 0) onStep?.(count);
      },
    },
  );
}

/**
 * The whole environment of a build: nothing of the user's may change what comes out (CFLAGS, MAKEFLAGS, KBUILD_*, TZ), and
 * what the kernel would take from the machine is fixed (docs.kernel.org/kbuild/reproducible-builds.html).
 * @param date seconds since 1970
 */
export function buildEnvironment(
  date: number,
  env: Readonly<Record<string, string | undefined>> = process.env,
): Record<string, string | undefined> {
  return {
    PATH: [env.PATH, ...SYSTEM_DIRECTORIES].filter(Boolean).join(":"),
    HOME: env.HOME,
    TMPDIR: env.TMPDIR,
    LC_ALL: "C",
    TZ: "UTC",
    KBUILD_BUILD_TIMESTAMP: new Date(date * 1000).toUTCString(),
    KBUILD_BUILD_USER: "smolvm",
    KBUILD_BUILD_HOST: "smolvm",
    KBUILD_BUILD_VERSION: "1",
  };
}

/** Steps in a part of make's output: lines like "  CC      kernel/fork.o". A line that is cut in two counts once. Pure. */
export function countSteps(chunk: Uint8Array): number {
  let steps = 0;
  for (const byte of chunk) if (byte === 0x0a) steps++;
  return steps;
}
