import type { CommandSpec, Completed, OptionSpec } from "../command.ts";

/** What a word can be completed to: from a list, by asking smolvm, by the shell, or not at all. */
export type WordKind =
  | { readonly kind: "choices"; readonly choices: readonly string[] }
  | {
      readonly kind: Completed | "files" | "nothing";
    };

/** A command, as the shells' scripts need it. */
export interface CompletedCommand {
  /** as typed, e.g. "image ls" */
  readonly name: string;
  readonly summary: string;
  readonly options: readonly OptionSpec[];
  readonly operands: WordKind;
  /** so many operands are completed; what follows is the guest's, or nothing */
  readonly maxOperands: number;
}

/** All words of the command line. */
export interface CompletedWords {
  readonly commands: readonly CompletedCommand[];
  /** what commands of several words begin with: "image" of "image ls" */
  readonly groups: readonly string[];
}

const NOTHING: WordKind = { kind: "nothing" };

/** Gathers the words from the commands' own tables. `help`, which is no command of the table, is added. Pure. */
export function completedWords(
  specs: readonly { readonly spec: CommandSpec; readonly summary: string }[],
): CompletedWords {
  const commands = specs.map(({ spec, summary }): CompletedCommand => {
    const { complete, max } = spec.operands;
    return {
      name: spec.name,
      summary,
      options: spec.options,
      operands:
        complete === undefined
          ? NOTHING
          : typeof complete === "string"
            ? { kind: complete }
            : { kind: "choices", choices: complete },
      maxOperands: Number.isFinite(max) ? max : 999,
    };
  });
  const groups = [...new Set(commands.flatMap(({ name }) => beginnings(name)))];
  const topics = [...new Set(commands.map(({ name }) => name.split(" ")[0]!))];
  const help: CompletedCommand = {
    name: "help",
    summary: "Show help",
    options: [],
    operands: { kind: "choices", choices: topics },
    maxOperands: 1,
  };
  return { commands: [...commands, help], groups };
}

/** What the value of an option can be. Pure. */
export function valueKind(option: OptionSpec): WordKind {
  if (option.choices) return { kind: "choices", choices: option.choices };
  if (option.value === "FILE" || option.value === "KERNEL") return { kind: "files" };
  return option.value === "IMAGE" ? { kind: "images" } : NOTHING;
}

/** "image kernel ls" begins with "image" and "image kernel". */
function beginnings(name: string): readonly string[] {
  const parts = name.split(" ");
  return parts.slice(1).map((_, i) => parts.slice(0, i + 1).join(" "));
}

/** The words that may follow a group ("": the first words), with their summaries. Pure. */
export function nextWords(words: CompletedWords, group: string): readonly (readonly [string, string])[] {
  const begin = group === "" ? "" : `${group} `;
  const next = new Map<string, string>();
  for (const { name, summary } of words.commands) {
    if (!name.startsWith(begin)) continue;
    const [word, ...more] = name.slice(begin.length).split(" ") as [string, ...string[]];
    if (!next.has(word)) next.set(word, more.length === 0 ? summary : `Commands of 'smolvm ${begin}${word}'`);
  }
  return [...next];
}

/** How an option is typed: `--name` and, if it has one, `-n`. Pure. */
export function optionWords(option: OptionSpec): readonly string[] {
  return [`--${option.name}`, ...(option.short === undefined ? [] : [`-${option.short}`])];
}

/** One word of a POSIX shell, zsh or fish, whatever is in it (fish: backslashes are doubled). Pure. */
export function quoted(text: string, shell: "sh" | "fish" = "sh"): string {
  return shell === "sh"
    ? `'${text.replaceAll("'", "'\\''")}'`
    : `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}
