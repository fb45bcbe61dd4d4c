import { SmolVMError } from "../../errors.ts";
import type { Outcome } from "../command.ts";
import { renderCommandHelp, renderOverview } from "../render/help.ts";
import { COMMAND_GROUPS, COMMANDS } from "./index.ts";
import { suggestCommand } from "./suggest.ts";

const FOOT = `Options of a command: smolvm COMMAND --help.
Every command takes --json, --quiet and --verbose.

Exit codes: run, exec and shell pass the guest's through (124 timeout, 125
smolvm failed, 126 not executable, 127 not found, 128+n signal); elsewhere 0
done, 1 failed, 2 wrong usage.
`;

/**
 * The help text for a command ("run", "image build"), a group ("image") or, for "", everything.
 * @throws SmolVMError USAGE for an unknown command
 */
export async function helpText(topic: string): Promise<string> {
  if (topic === "") {
    return renderOverview({
      usage: "smolvm COMMAND [OPTIONS] [ARGUMENTS]",
      summary: "Run untrusted code in disposable microVMs.",
      groups: COMMAND_GROUPS,
      foot: FOOT,
    });
  }
  const entry = COMMANDS.get(topic);
  if (entry) return renderCommandHelp((await entry.load()).spec, entry.summary);
  const groups = COMMAND_GROUPS.map(({ title, commands }) => ({
    title,
    commands: commands.filter(({ name }) => name.startsWith(`${topic} `)),
  })).filter(({ commands }) => commands.length > 0);
  if (groups.length > 0) {
    return renderOverview({
      usage: `smolvm ${topic} COMMAND [OPTIONS] [ARGUMENTS]`,
      summary: `Commands of 'smolvm ${topic}'.`,
      groups,
      foot: `Options of a command: smolvm ${topic} COMMAND --help.\n`,
    });
  }
  const near = suggestCommand(topic);
  throw new SmolVMError("USAGE", `unknown command '${topic}'`, {
    hint: near ? `Did you mean: smolvm help ${near}` : "See all commands: smolvm help",
  });
}

/** The same as a command's outcome. */
export async function helpOutcome(topic: string): Promise<Outcome> {
  const text = await helpText(topic);
  return { data: { text }, text: () => text };
}
