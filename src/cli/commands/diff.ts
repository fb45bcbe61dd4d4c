import { SmolVM } from "../../smolvm.ts";
import { escapeTerminal } from "../../util/escape-terminal.ts";
import type { OverlayChange } from "../../vm/mounts/overlay.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import type { Io } from "../io.ts";

const spec: CommandSpec = {
  name: "diff",
  usage: "[OPTIONS] NAME GUEST",
  operands: { min: 2, max: 2, what: "the sandbox's name and the directory in it", complete: "sandboxes" },
  options: COMMON_OPTIONS,
  exit: "plain",
  notes: [
    "Shows what a sandbox has changed in a directory of this machine that it has as an overlay (-v HOST:GUEST:overlay), beside the directory as it is now: A created, C changed, D removed.",
  ],
  examples: ["smolvm diff box /work", "smolvm apply box /work src/main.ts"],
};

/** Longer ones are cut. */
const MAX_PATH = 4096;

/** As Docker's `diff` has them. */
const LETTERS: Readonly<Record<OverlayChange["kind"], string>> = { created: "A", changed: "C", removed: "D" };

async function diffCommand(io: Io, args: Arguments): Promise<Outcome> {
  const [name, guest] = args.operands as [string, string];
  const changes = await (await SmolVM.get(name)).mounts.diff(guest, { signal: io.interrupts.signal });
  return { data: changes, text: () => changeLines(changes) };
}

/** A line for each. Names are the guest's: control characters are made visible. Pure. */
export function changeLines(changes: readonly OverlayChange[]): string {
  return changes
    .map(
      ({ kind, path, type }) =>
        `${LETTERS[kind]} ${escapeTerminal(path, MAX_PATH)}${type === "directory" ? "/" : ""}\n`,
    )
    .join("");
}

export const diff: Command = { spec, run: diffCommand };
