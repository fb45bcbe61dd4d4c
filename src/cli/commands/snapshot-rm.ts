import { SmolVM } from "../../smolvm.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import { changeEachName } from "../each.ts";
import type { Io } from "../io.ts";

const spec: CommandSpec = {
  name: "snapshot rm",
  usage: "[OPTIONS] SNAPSHOT...",
  operands: { min: 1, max: Number.POSITIVE_INFINITY, what: "the snapshot's name", complete: "snapshots" },
  options: COMMON_OPTIONS,
  exit: "plain",
  notes: [
    "Sandboxes that were restored from it keep what they have. One that others are kept as the difference to goes after those. Prints the names.",
  ],
  examples: ["smolvm snapshot rm before-upgrade"],
};

/** The names, those that lie over others before these, whichever way they were given. Pure. */
export function topFirst(
  names: readonly string[],
  snapshots: readonly { readonly name: string; readonly base?: string | undefined }[],
): string[] {
  const below = new Map(snapshots.map(({ name, base }) => [name, base]));
  const depth = (name: string, most = snapshots.length): number => {
    const base = below.get(name);
    return base === undefined || most === 0 ? 0 : 1 + depth(base, most - 1);
  };
  return names.toSorted((a, b) => depth(b) - depth(a));
}

async function snapshotRmCommand(io: Io, args: Arguments): Promise<Outcome> {
  const { operands } = args;
  const names = operands.length === 1 ? operands : topFirst(operands, await SmolVM.snapshots.list());
  return await changeEachName(io, names, async (name) => {
    await SmolVM.snapshots.delete(name);
    return { name, removed: true };
  });
}

export const snapshotRm: Command = { spec, run: snapshotRmCommand };
