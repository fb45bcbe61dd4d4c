import { SmolVMError } from "../../errors.ts";
import type { CommandEntry } from "../command.ts";
import { COMMANDS } from "./index.ts";
import { suggestCommand } from "./suggest.ts";

/** Options that may also stand before the command's name. */
const LEADING = new Set(["--json", "--quiet", "-q", "--verbose"]);

/** Which command, and the words that are left for it; or what help was asked for ("" is the overview). */
export type CommandLine =
  | { readonly name: string; readonly help: string }
  | {
      readonly name: string;
      readonly help?: undefined;
      readonly entry: CommandEntry;
      readonly words: readonly string[];
    };

/**
 * Finds the command in the words. Pure.
 * @throws SmolVMError USAGE, with the nearest known command
 */
export function splitCommand(words: readonly string[]): CommandLine {
  let at = 0;
  while (LEADING.has(words[at] ?? "")) at++;
  const leading = words.slice(0, at);
  const first = words[at];
  if (first === undefined || first === "--help" || first === "-h") return { name: "help", help: "" };
  if (first === "--version" || first === "-V") {
    return { name: "version", entry: COMMANDS.get("version")!, words: leading };
  }
  if (first === "help") {
    const topic = words.slice(at + 1).filter((word) => !word.startsWith("-"));
    return { name: "help", help: topic.join(" ") };
  }
  if (first.startsWith("-")) {
    throw new SmolVMError("USAGE", `unknown option '${first}'`, {
      hint: "Options stand behind the command: smolvm COMMAND [OPTIONS]. See: smolvm help",
    });
  }
  const entry = COMMANDS.get(first);
  if (entry) return { name: first, entry, words: [...leading, ...words.slice(at + 1)] };
  return groupCommand(first, leading, words.slice(at + 1)) ?? unknownCommand(first);
}

function groupCommand(
  group: string,
  leading: readonly string[],
  rest: readonly string[],
): CommandLine | undefined {
  const members = [...COMMANDS.keys()].filter((name) => name.startsWith(`${group} `));
  if (members.length === 0) return undefined;
  const at = rest.findIndex((word) => !LEADING.has(word));
  const second = at < 0 ? undefined : rest[at];
  if (second === undefined || second === "--help" || second === "-h") return { name: "help", help: group };
  const name = `${group} ${second}`;
  const entry = COMMANDS.get(name);
  const words = [...rest.slice(0, at), ...rest.slice(at + 1)];
  // "image kernel" is a group within a group.
  if (!entry) return groupCommand(name, leading, words) ?? unknownCommand(name);
  return { name, entry, words: [...leading, ...words] };
}

function unknownCommand(name: string): never {
  const near = suggestCommand(name);
  const help = ["smolvm help", ...name.split(" ").slice(0, -1)].join(" ");
  throw new SmolVMError("USAGE", `unknown command '${name}'`, {
    hint: near ? `Did you mean: smolvm ${near}` : `See all commands: ${help}`,
  });
}
