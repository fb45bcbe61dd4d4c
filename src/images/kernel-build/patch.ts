import { SmolVMError } from "../../errors.ts";
import { runProgram } from "../../host/process/run.ts";
import type { Deadline } from "../../util/deadline.ts";
import { buildEnvironment } from "./make.ts";
import type { KernelRecipe } from "./recipe.ts";
import type { KernelSource } from "./source.ts";

/**
 * Applies the recipe's patches to a source tree, in their order. A patch that does not fit exactly fails the build: what it
 * mends would be broken in silence.
 * @throws SmolVMError IMAGE_BUILD_FAILED, TIMEOUT, ABORTED
 */
export async function applyPatches(
  { patches }: KernelRecipe,
  source: KernelSource,
  deadline: Deadline,
): Promise<void> {
  for (const { name, path } of patches) {
    const options = { deadline, cwd: source.tree, env: buildEnvironment(source.date), check: false };
    const { code, stdout } = await runProgram(["patch", "-p1", "--forward", "--fuzz=0", "-i", path], options);
    if (code === 0) continue;
    throw new SmolVMError(
      "IMAGE_BUILD_FAILED",
      `the patch '${name}' does not fit ${source.package} ${source.version}:\n${stdout.trim()}`,
      {
        hint: "This version of the kernel needs another patch, or none: see kernel/README.md.",
        details: { patch: name, version: source.version },
      },
    );
  }
}
