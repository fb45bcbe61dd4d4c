import type { Arch } from "../../config/spec.ts";
import type { StageState } from "../../images/dockerfile/state.ts";
import { type ConfigDocument, emptyDocument } from "../../images/layer/config-document.ts";
import { type Build, withLine } from "../build.ts";
import type { BuildMachine } from "../machine/machine.ts";
import { failAt } from "../plan/errors.ts";
import { archOf } from "../plan/platforms.ts";
import type { Stage } from "../plan/stages.ts";
import { baseImage } from "./base-image.ts";
import { composeStage } from "./compose.ts";
import type { StageContent } from "./content.ts";
import { stepKey } from "./steps-cache.ts";

/** What a stage begins with. */
export interface StageStart {
  readonly arch: Arch;
  readonly state: StageState;
  readonly content: StageContent;
  /** one that runs already */
  readonly machine?: BuildMachine | undefined;
}

/** What FROM names: a stage before (`parent`), nothing, or an image. @throws SmolVMError DOCKERFILE_INVALID; what pulling throws */
export async function beginStage(
  build: Build,
  stage: Stage,
  parent: Omit<StageStart, "machine"> | undefined,
): Promise<StageStart> {
  const arch = stage.platform === undefined ? build.arch : archOf(stage.platform);
  if (parent !== undefined) {
    if (stage.platform !== undefined && parent.arch !== arch)
      throw failAt(build.plan.file, stage.line)(`the stage '${stage.from}' is for another platform`);
    const { content, state } = parent;
    return { arch: parent.arch, state: { ...state, args: new Map(), hasCmd: false }, content };
  }
  if (stage.from === "scratch") {
    const document = emptyDocument(arch);
    const key = stepKey(["scratch", arch]);
    const content = { document, layers: [], key, created: undefined, image: undefined };
    return { arch, state: fresh(document), content };
  }
  const base = await baseImage(build, stage.from, arch).catch((error: unknown) => {
    throw withLine(build, error, { line: stage.line, shown: `FROM ${stage.from}` });
  });
  const { name, parts, key, machine, isOwn } = base;
  // Images are made over what their lower layers have become (images/lower-image.ts): of one of ours there is none yet.
  if (isOwn) await composeStage(build, parts, key, arch);
  const { document, layers } = parts;
  const content = { document, layers, key, created: document.created, image: name };
  return { arch, state: fresh(document), content, machine };
}

function fresh({ config, author }: ConfigDocument): StageState {
  return { config, author, args: new Map(), hasCmd: false };
}
