import type { OptionSpec } from "../command.ts";
import { type CompletedWords, nextWords, quoted, valueKind, type WordKind } from "./words.ts";

/** The script for fish 3.1 and newer: one `complete` for each word. Pure. */
export function fishScript(words: CompletedWords): string {
  const q = (text: string): string => quoted(text, "fish");
  const at = (condition: string): string => `complete -c smolvm -n ${q(condition)}`;
  const next = ["", ...words.groups].flatMap((group) =>
    nextWords(words, group).map(
      ([word, summary]) => `${at(`__smolvm_at ${q(group)}`)} -a ${word} -d ${q(summary)}`,
    ),
  );
  const each = words.commands.flatMap(({ name, options, operands, maxOperands }) => [
    ...options.map((option) => `${at(`__smolvm_at ${q(name)}`)} ${optionWords(option)} -d ${q(option.help)}`),
    ...(operands.kind === "nothing"
      ? []
      : [`${at(`__smolvm_at ${q(name)}; and __smolvm_fewer ${maxOperands}`)} ${candidates(operands)}`]),
  ]);
  return `# fish completion of smolvm. Once: smolvm completion fish | source; for good: put that line into ~/.config/fish/config.fish.

# The words that were typed, without options.
function __smolvm_words
    commandline -opc | string match -v -- '-*' | tail -n +2
end

# How many of them are the command's.
function __smolvm_own
    set -l own 1
    while test $own -lt (count $argv); and contains -- "$argv[1..$own]" ${words.groups.map(q).join(" ")}
        set own (math $own + 1)
    end
    echo $own
end

function __smolvm_at
    set -l words (__smolvm_words)
    set -l own (__smolvm_own $words)
    test "$words[1..$own]" = "$argv[1]"
end

# Whether fewer operands were typed than that.
function __smolvm_fewer
    set -l words (__smolvm_words)
    test (math (count $words) - (__smolvm_own $words)) -lt $argv[1]
end

complete -c smolvm -f
${[...next, ...each].join("\n")}
`;
}

function optionWords(option: OptionSpec): string {
  const short = option.short === undefined ? "" : ` -s ${option.short}`;
  if (option.value === undefined) return `-l ${option.name}${short}`;
  const kind = valueKind(option);
  return `-l ${option.name}${short} ${kind.kind === "files" ? "-r" : "-x"} ${candidates(kind)}`.trimEnd();
}

/** Where fish finds what it offers. */
function candidates(kind: WordKind): string {
  switch (kind.kind) {
    case "choices":
      return `-a ${quoted(kind.choices.join(" "), "fish")}`;
    case "sandboxes":
      return "-a '(smolvm ls --quiet 2>/dev/null)'";
    case "images":
      return "-a '(smolvm image ls --quiet 2>/dev/null)'";
    case "kernels":
      return "-a '(smolvm image kernel ls --quiet 2>/dev/null)'";
    case "snapshots":
      return "-a '(smolvm snapshot ls --quiet 2>/dev/null)'";
    case "pools":
      return "-a '(smolvm pool ls --quiet 2>/dev/null)'";
    case "files":
      return "-F";
    case "copy-paths":
      return "-F -a '(smolvm ls --quiet 2>/dev/null | string replace -r \\$ :)'";
    case "nothing":
      return "";
  }
}
