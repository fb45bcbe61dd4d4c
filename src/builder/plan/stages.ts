import { posix } from "node:path";
import { dockerfileError, type Instruction, type ParsedDockerfile } from "../../images/dockerfile/parse.ts";
import { expandText, rawWords, WordError } from "../../images/dockerfile/words.ts";

/** A stage as it stands in the file: from one FROM to the next. */
export interface Stage {
  readonly index: number;
  readonly name: string | undefined;
  /** what FROM names */
  readonly from: string;
  /** that is a stage before it */
  readonly parent: number | undefined;
  readonly platform: string | undefined;
  readonly line: number;
  readonly instructions: readonly Instruction[];
}

export interface Plan {
  readonly stages: readonly Stage[];
  /** the last one that is built */
  readonly target: number;
  /** values of the arguments before the first FROM */
  readonly globals: ReadonlyMap<string, string>;
}

/** One may need the one before it, and so on. */
const MAX_STAGES = 500;

/** The last stage of a name, or the one of a number, among those before another. Pure. */
export function stageCalled(
  stages: readonly Stage[],
  called: string,
  before: number = stages.length,
): Stage | undefined {
  const name = called.toLowerCase();
  return stages.findLast(
    (stage) => stage.index < before && (stage.name === name || String(stage.index) === called),
  );
}

/**
 * Which stages there are, and which one is wanted. Pure.
 * @param given build arguments, and what the platform is called
 * @throws SmolVMError DOCKERFILE_INVALID
 */
export function planStages(
  { instructions, escaping }: ParsedDockerfile,
  name: string,
  {
    given,
    platform,
    target,
  }: {
    readonly given: ReadonlyMap<string, string>;
    readonly platform: ReadonlyMap<string, string>;
    readonly target: string | undefined;
  },
): Plan {
  const globals = new Map<string, string>();
  const stages: (Stage & { instructions: Instruction[] })[] = [];
  for (const instruction of instructions) {
    const { keyword, line, text, flags } = instruction;
    const lookup = (variable: string): string | undefined => globals.get(variable) ?? platform.get(variable);
    const inLine = <T>(act: () => T): T => atLine(name, line, act);
    if (keyword === "FROM") {
      const words = inLine(() => rawWords(text, escaping));
      const [image, as, stageName] = words;
      if (words.length !== 1 && !(words.length === 3 && /^as$/i.test(as!)))
        throw dockerfileError(name, line, "FROM takes an image, and AS with the stage's name");
      if (stageName !== undefined && !/^[a-z][a-z0-9._-]*$/i.test(stageName))
        throw dockerfileError(name, line, `'${stageName}' is no name for a stage`);
      let wanted: string | undefined;
      for (const flag of flags) {
        if (flag.name !== "platform" || flag.value === undefined)
          throw dockerfileError(name, line, `FROM has no option --${flag.name}`);
        wanted = inLine(() => expandText(flag.value!, escaping, lookup));
      }
      const from = inLine(() => expandText(image!, escaping, lookup));
      if (from === "") throw dockerfileError(name, line, `FROM names no image ('${image}' is empty)`);
      if (stages.length === MAX_STAGES)
        throw dockerfileError(name, line, `it has more than ${MAX_STAGES} stages`);
      const parent = stages.findLast((stage) => stage.name === from.toLowerCase())?.index;
      stages.push({
        index: stages.length,
        name: stageName?.toLowerCase(),
        from,
        parent,
        platform: wanted,
        line,
        instructions: [],
      });
      continue;
    }
    const stage = stages.at(-1);
    if (stage !== undefined) stage.instructions.push(instruction);
    else if (keyword !== "ARG") throw dockerfileError(name, line, `${keyword} comes before FROM`);
    else
      for (const [variable, value] of inLine(() => declared(text, escaping, lookup))) {
        const known = given.get(variable) ?? value;
        if (known !== undefined) globals.set(variable, known);
      }
  }
  if (stages.length === 0) throw dockerfileError(name, 1, "it has no FROM");
  if (target === undefined) return { stages, target: stages.length - 1, globals };
  const found = stageCalled(stages, target);
  if (found === undefined) {
    const names = stages.flatMap((stage) => stage.name ?? []);
    const what = names.length === 0 ? "none has a name" : `there are ${names.join(", ")}`;
    throw dockerfileError(name, stages.at(-1)!.line, `there is no stage '${target}': ${what}`);
  }
  return { stages, target: found.index, globals };
}

/** What an ARG declares: names, and defaults where there are some. Pure. @throws WordError */
export function declared(
  text: string,
  escaping: string,
  lookup: (name: string) => string | undefined,
): [string, string | undefined][] {
  return rawWords(text, escaping).map((word) => {
    const equals = word.indexOf("=");
    const variable = equals < 0 ? word : word.slice(0, equals);
    if (!/^[A-Za-z_]\w*$/.test(variable)) throw new WordError(`ARG takes NAME or NAME=value, not '${word}'`);
    return [variable, equals < 0 ? undefined : expandText(word.slice(equals + 1), escaping, lookup)];
  });
}

/** What is wrong with words is told with the line. @throws SmolVMError DOCKERFILE_INVALID */
export function atLine<T>(name: string, line: number, act: () => T): T {
  try {
    return act();
  } catch (error) {
    throw error instanceof WordError ? dockerfileError(name, line, error.message) : error;
  }
}

/** A path in the image, from the working directory on. A slash at its end stays. Pure. */
export function inImage(workdir: string | undefined, path: string): string {
  return (
    posix.resolve("/", workdir ?? "/", path) +
    (/(?:^|\/)\.?$/.test(path) && path !== "" ? "/" : "").replace(/^\/$/, "/")
  );
}
