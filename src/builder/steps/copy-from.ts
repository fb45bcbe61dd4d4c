import { copyAcross } from "../machine/copy-across.ts";
import { ownerOf } from "../machine/owner.ts";
import { modeOf } from "../plan/chmod.ts";
import { hasPattern } from "../plan/selection.ts";
import type { CopyOptions } from "./copy-options.ts";
import type { CopyPaths } from "./copy-paths.ts";
import type { Step } from "./step.ts";

/** COPY --from: of another stage, or of an image. */
export async function copyFrom(
  step: Step,
  from: string,
  { sources, path }: CopyPaths,
  { chown, chmod, filter }: CopyOptions,
): Promise<boolean> {
  const mode = chmod === undefined ? undefined : modeOf(chmod, step.fail);
  const source = await step.source(from);
  const filtered = filter.parents || filter.exclude.length > 0 ? [filter] : [];
  const depends = ["COPY --from", source.key, sources, path, chown, chmod, ...filtered];
  const createdBy = `COPY --from=${from} ${step.instruction.text}`;
  return await step.stage.layer(depends, createdBy, async ({ vm }) => {
    const given = await source.machine();
    const owner = chown === undefined ? undefined : await ownerOf(vm, chown, step.fail);
    const to = { vm, path, placed: { ...owner, mode } };
    for (const name of sources) {
      const found = await copyAcross(given, name, to, filter);
      if (found) continue;
      if (!hasPattern(name)) throw step.fail(`there is no '${name}' to copy in '${from}'`);
      step.warn(`'${name}' matches nothing in '${from}'`);
    }
  });
}
