import { dockerfileError } from "../../images/dockerfile/parse.ts";
import { applyToState, jsonWords, type StageState } from "../../images/dockerfile/state.ts";
import { splitWords } from "../../images/dockerfile/words.ts";
import { atLine } from "./errors.ts";
import { checkFlags, isLiteral } from "./flags.ts";
import { archOfPlatform, PLATFORMS_HINT } from "./platforms.ts";
import { hasPattern } from "./selection.ts";
import { type Plan, stageCalled } from "./stages.ts";

/** A stage of which nothing is known: what is wrong with an instruction without variables is so in each. */
const ANY_STATE: StageState = { config: {}, author: undefined, args: new Map(), hasCmd: false };

/** The stages that are carried out: the wanted one, and what it and those name, as far as that is known before variables are. Pure. */
function wantedStages({ stages, target }: Plan): ReadonlySet<number> {
  const wanted = new Set([target]);
  for (const index of wanted) {
    const { parent, instructions } = stages[index]!;
    if (parent !== undefined) wanted.add(parent);
    for (const { flags } of instructions)
      for (const { name, value = "" } of flags) {
        const from = name === "from" ? value : /(?:^|,)from=([^,]+)/.exec(value)?.[1];
        const found = from === undefined ? undefined : stageCalled(stages, from, index);
        if (found !== undefined) wanted.add(found.index);
      }
  }
  return wanted;
}

/**
 * Looks at the platforms, and all instructions that are wanted, as far as they are known before anything is carried out: what a late step would be refused for need not wait for those before it. Stages that
 * nothing names are left alone. Pure.
 * @throws SmolVMError DOCKERFILE_INVALID
 */
export function checkPlan(plan: Plan): void {
  const { file, escaping } = plan;
  for (const index of wantedStages(plan)) {
    const { instructions, platform, line } = plan.stages[index]!;
    if (platform !== undefined && archOfPlatform(platform) === undefined)
      throw dockerfileError(file, line, `there is no platform '${platform}'`, PLATFORMS_HINT);
    for (const instruction of instructions)
      atLine(file, instruction.line, () => {
        checkFlags(instruction);
        if (isLiteral(instruction.text)) applyToState(ANY_STATE, instruction, escaping);
      });
  }
}

/**
 * What COPY and ADD name of the context by names alone, and not by patterns or variables: it is there, or the build fails. Pure.
 * @throws SmolVMError DOCKERFILE_INVALID
 */
export function namedSources(plan: Plan): { readonly line: number; readonly source: string }[] {
  const { file, escaping } = plan;
  const instructions = [...wantedStages(plan)].flatMap((index) => plan.stages[index]!.instructions);
  return instructions.flatMap(({ keyword, text, flags, line, heredocs }) => {
    const isOfContext =
      (keyword === "COPY" || keyword === "ADD") &&
      !flags.some(({ name }) => name === "from" || name === "parents") &&
      heredocs.length === 0 &&
      isLiteral(text);
    if (!isOfContext) return [];
    const words = atLine(file, line, () => jsonWords(text) ?? splitWords(text, escaping, () => undefined));
    const sources = words.slice(0, -1).filter((source) => !hasPattern(source));
    // What ADD fetches is told by its address.
    const ofContext = sources.filter((source) => keyword === "COPY" || !/^[^/]*:/.test(source));
    return ofContext.map((source) => ({ line, source }));
  });
}
