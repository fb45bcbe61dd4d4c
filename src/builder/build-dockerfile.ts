import { usersOfImage } from "../users-of-images.ts";
import type { Deadline } from "../util/deadline.ts";
import type { Home } from "../vm/home.ts";
import { type Build, openBuild } from "./build.ts";
import { BuiltStages } from "./built-stages.ts";
import { notThere } from "./context/added-files.ts";
import { finish } from "./finish.ts";
import { failAt } from "./plan/errors.ts";
import { namedSources } from "./plan/precheck.ts";
import { keepStageImagesWithin } from "./stages/stage-images.ts";
import type { BuildOptions, BuiltImage } from "./types.ts";

/**
 * Builds an image; see {@link Images.build}.
 * @throws as that
 */
export async function buildDockerfile(
  home: Home,
  directory: string,
  options: BuildOptions,
  deadline: Deadline,
): Promise<BuiltImage> {
  const build = await openBuild(home, directory, options, deadline);
  try {
    await checkSources(build);
    return await finish(build, await new BuiltStages(build).get(build.plan.target));
  } finally {
    for (const machine of build.machines) await machine.stop().catch(() => {}); // what is left, the next command clears up
    await keepStageImagesWithin(home.paths, usersOfImage).catch(() => {}); // the next build does it
  }
}

/** What a late step would copy is there, or nothing is carried out. */
async function checkSources({ plan, context }: Build): Promise<void> {
  for (const { line, source } of namedSources(plan))
    if ((await context.select(source)) === undefined)
      throw notThere(context, source, failAt(plan.file, line));
}
