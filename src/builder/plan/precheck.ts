import { dockerfileError, type Instruction } from "../../images/dockerfile/parse.ts";
import { applyToState, jsonWords, type StageState } from "../../images/dockerfile/state.ts";
import { splitWords, WordError } from "../../images/dockerfile/words.ts";
import { parseMount } from "./mounts.ts";
import { archOfPlatform, PLATFORMS_HINT } from "./platforms.ts";
import { hasPattern } from "./selection.ts";
import { atLine, type Plan, stageCalled } from "./stages.ts";

/** Whether a value is known before variables are. */
function isLiteral(value: string): boolean {
  return !value.includes("$");
}

/** An option that is there or not. */
function isSwitch(value: string | undefined): boolean {
  return value === undefined || value === "true" || value === "false";
}

/** Options of COPY and ADD that are there or not. */
export const SWITCHES: Readonly<Record<string, readonly string[]>> = {
  COPY: ["link", "parents"],
  ADD: ["link", "unpack"],
};
const VALUES: Readonly<Record<string, readonly string[]>> = {
  COPY: ["chown", "chmod", "exclude", "from"],
  ADD: ["chown", "chmod", "exclude", "checksum"],
};

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
 * @param file its name, for errors
 * @param escaping the file's escape character
 * @throws SmolVMError DOCKERFILE_INVALID
 */
export function checkPlan(plan: Plan, file: string, escaping: string): void {
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
 * @param file its name, for errors
 * @throws SmolVMError DOCKERFILE_INVALID
 */
export function namedSources(
  plan: Plan,
  file: string,
  escaping: string,
): { readonly line: number; readonly source: string }[] {
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

/**
 * Looks at the options of one instruction, as far as they are known before variables are. Pure.
 * @throws WordError
 */
export function checkFlags({ keyword, flags }: Instruction): void {
  for (const { name, value } of flags) {
    const shown = `--${name}${value === undefined ? "" : `=${value}`}`;
    if (keyword === "RUN") {
      const isKnown =
        name === "mount" ||
        (name === "network" && (!isLiteral(value ?? "") || ["default", "none"].includes(value ?? "")));
      if (!isKnown) throw new WordError(`RUN ${shown} is not supported`);
      if (name === "mount" && isLiteral(value ?? "")) parseMount(value ?? "", "/");
    } else if (keyword === "COPY" || keyword === "ADD") {
      const isKnown =
        (SWITCHES[keyword]!.includes(name) && isSwitch(value)) ||
        (VALUES[keyword]!.includes(name) && value !== undefined);
      // It has an error of its own (build.ts).
      const isOfGit = keyword === "ADD" && name === "keep-git-dir";
      if (!isKnown && !isOfGit) throw new WordError(`${keyword} ${shown} is not supported`);
    }
  }
}
