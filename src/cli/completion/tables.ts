import { type CompletedWords, nextWords, optionWords, quoted, valueKind, type WordKind } from "./words.ts";

/**
 * Two functions of bash and zsh that know the words: `_smolvm_command NAME` sets `operand`, `most`, `options` and `next`,
 * `_smolvm_value NAME OPTION` sets `kind` and fails for what takes no value. Pure.
 * @param list how the shell's script wants a list of words with their descriptions
 */
export function tables(
  words: CompletedWords,
  list: (items: readonly (readonly [string, string])[]) => string,
): string {
  const commands = words.commands.map(({ name, options, operands, maxOperands }) => {
    const items = options.flatMap((option) =>
      optionWords(option).map((word) => [word, option.help] as const),
    );
    return `    ${quoted(name)}) operand=${quoted(kindWord(operands))} most=${maxOperands} options=(${list(items)}) ;;`;
  });
  const groups = ["", ...words.groups].map(
    (group) => `    ${quoted(group)}) next=(${list(nextWords(words, group))}) ;;`,
  );
  return `_smolvm_command() {
  operand=nothing most=0 options=() next=()
  case "$1" in
${[...groups, ...commands].join("\n")}
  esac
}

_smolvm_value() {
  kind=''
  case "$1 $2" in
${valueCases(words).join("\n")}
  esac
  [[ -n $kind ]]
}
`;
}

/** A kind as one word of a script. Pure. */
export function kindWord(kind: WordKind): string {
  return kind.kind === "choices" ? `choices ${kind.choices.join(" ")}` : kind.kind;
}

/** The options that take a value, those with values of the same kind together. */
function valueCases(words: CompletedWords): readonly string[] {
  const byKind = new Map<string, string[]>();
  for (const { name, options } of words.commands) {
    for (const option of options) {
      if (option.value === undefined) continue;
      const kind = kindWord(valueKind(option));
      const patterns = optionWords(option).map((word) => quoted(`${name} ${word}`));
      byKind.set(kind, [...(byKind.get(kind) ?? []), ...patterns]);
    }
  }
  return [...byKind].map(([kind, patterns]) => `    ${patterns.join("|")}) kind=${quoted(kind)} ;;`);
}
