import { dockerfileError, type Instruction, type ParsedDockerfile } from "../../images/dockerfile/parse.ts";
import { expandText, type Lookup, rawWords, WordError } from "../../images/dockerfile/words.ts";
import { declared, namesDeclared } from "./arguments.ts";
import { atLine } from "./errors.ts";

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

/** What a Dockerfile asks for. */
export interface Plan {
  /** what the file is called, for errors */
  readonly file: string;
  readonly escaping: string;
  readonly stages: readonly Stage[];
  /** the last one that is built */
  readonly target: number;
  /** values of the arguments before the first FROM */
  readonly globals: ReadonlyMap<string, string>;
  /** the names that any ARG declares, also in a stage that is not built */
  readonly declared: ReadonlySet<string>;
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
  file: string,
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
  const lookup: Lookup = (variable) => globals.get(variable) ?? platform.get(variable);
  const stages: (Stage & { instructions: Instruction[] })[] = [];
  for (const instruction of instructions) {
    const { keyword, line, text } = instruction;
    const stage = stages.at(-1);
    if (keyword === "FROM") {
      const read = atLine(file, line, () => readFrom(instruction, escaping, lookup));
      if (stages.length === MAX_STAGES)
        throw dockerfileError(file, line, `it has more than ${MAX_STAGES} stages`);
      const parent = stages.findLast(({ name }) => name === read.from.toLowerCase())?.index;
      stages.push({ index: stages.length, ...read, parent, line, instructions: [] });
    } else if (stage !== undefined) stage.instructions.push(instruction);
    else if (keyword !== "ARG") throw dockerfileError(file, line, `${keyword} comes before FROM`);
    else
      for (const [variable, value] of atLine(file, line, () => declared(text, escaping, lookup))) {
        const known = given.get(variable) ?? value;
        if (known !== undefined) globals.set(variable, known);
      }
  }
  const last = stages.at(-1);
  if (last === undefined) throw dockerfileError(file, 1, "it has no FROM");
  const wanted = target === undefined ? last : stageCalled(stages, target);
  if (wanted === undefined) {
    const names = stages.flatMap(({ name }) => name ?? []);
    const what = names.length === 0 ? "none has a name" : `there are ${names.join(", ")}`;
    throw dockerfileError(file, last.line, `there is no stage '${target}': ${what}`);
  }
  const names = instructions.flatMap(({ keyword, text }) =>
    keyword === "ARG" ? namesDeclared(text, escaping) : [],
  );
  return { file, escaping, stages, target: wanted.index, globals, declared: new Set(names) };
}

/** What a FROM says. @throws WordError */
function readFrom(
  { text, flags }: Instruction,
  escaping: string,
  lookup: Lookup,
): Pick<Stage, "name" | "from" | "platform"> {
  const words = rawWords(text, escaping);
  const [image, as, name] = words;
  if (words.length !== 1 && !(words.length === 3 && /^as$/i.test(as!)))
    throw new WordError("FROM takes an image, and AS with the stage's name");
  if (name !== undefined && !/^[a-z][a-z0-9._-]*$/i.test(name))
    throw new WordError(`'${name}' is no name for a stage`);
  let platform: string | undefined;
  for (const flag of flags) {
    if (flag.name !== "platform" || flag.value === undefined)
      throw new WordError(`FROM has no option --${flag.name}`);
    platform = expandText(flag.value, escaping, lookup);
  }
  const from = expandText(image!, escaping, lookup);
  if (from === "") throw new WordError(`FROM names no image ('${image}' is empty)`);
  return { name: name?.toLowerCase(), from, platform };
}
