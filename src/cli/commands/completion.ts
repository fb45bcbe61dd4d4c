import { SmolVMError } from "../../errors.ts";
import { nearest } from "../../util/nearest.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandEntry, CommandSpec, Outcome } from "../command.ts";
import { bashScript } from "../completion/bash.ts";
import { fishScript } from "../completion/fish.ts";
import { powershellScript } from "../completion/powershell.ts";
import { type CompletedWords, completedWords } from "../completion/words.ts";
import { zshScript } from "../completion/zsh.ts";

const SCRIPTS: Readonly<Record<string, (words: CompletedWords) => string>> = {
  bash: bashScript,
  zsh: zshScript,
  fish: fishScript,
  powershell: powershellScript,
};

/** All commands by name; they have this one among them. */
type Commands = ReadonlyMap<string, CommandEntry>;

const spec: CommandSpec = {
  name: "completion",
  usage: "[OPTIONS] bash | zsh | fish | powershell",
  operands: { min: 1, max: 1, what: "the shell's name", complete: Object.keys(SCRIPTS) },
  options: COMMON_OPTIONS,
  exit: "plain",
  notes: [
    "Completes commands, options, their values, and the names of sandboxes and images. The examples are for the shell that runs; in its start-up file (~/.bashrc, ~/.zshrc behind compinit, ~/.config/fish/config.fish, $PROFILE) the same line does it for good.",
  ],
  examples: [
    'eval "$(smolvm completion bash)"',
    "source <(smolvm completion zsh)",
    "smolvm completion fish | source",
    "smolvm completion powershell | Out-String | Invoke-Expression",
  ],
};

async function completionCommand(commands: Commands, args: Arguments): Promise<Outcome> {
  const shell = args.operands[0]!;
  if (!Object.hasOwn(SCRIPTS, shell)) {
    const near = nearest(shell, Object.keys(SCRIPTS));
    throw new SmolVMError("USAGE", `there is no completion for the shell '${shell}'`, {
      hint: near ? `Did you mean: smolvm completion ${near}` : `Shells: ${Object.keys(SCRIPTS).join(", ")}`,
    });
  }
  const script = await completionScript(shell, commands);
  return { data: { shell, script }, text: () => script };
}

/** The script for a shell of {@link SCRIPTS}, from all commands' tables. */
async function completionScript(shell: string, commands: Commands): Promise<string> {
  const entries = [...commands.values()].map(async (entry) => ({
    spec: (await entry.load()).spec,
    summary: entry.summary,
  }));
  return SCRIPTS[shell]!(completedWords(await Promise.all(entries)));
}

export const completion = (commands: Commands): Command => ({
  spec,
  run: (_io, args) => completionCommand(commands, args),
});
