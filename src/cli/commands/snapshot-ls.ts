import { SmolVM } from "../../smolvm.ts";
import type { SnapshotInfo } from "../../vm/snapshots/describe.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import type { Io } from "../io.ts";
import { renderTable } from "../render/table.ts";
import { formatBytes, formatMib, formatUptime } from "../render/units.ts";

const spec: CommandSpec = {
  name: "snapshot ls",
  usage: "[OPTIONS]",
  operands: { min: 0, max: 0, what: "nothing" },
  options: COMMON_OPTIONS,
  exit: "plain",
  notes: [
    "SIZE is what it takes on this machine's disk by itself; OVER is the snapshot that it is kept as the difference to.",
    "With --quiet only the names, one a line.",
  ],
  examples: ["smolvm snapshot ls", "smolvm snapshot ls --json"],
};

async function snapshotLsCommand(io: Io): Promise<Outcome> {
  const snapshots = await SmolVM.snapshots.list();
  return {
    data: snapshots,
    text: () =>
      io.quiet ? snapshots.map(({ name }) => `${name}\n`).join("") : snapshotTable(snapshots, Date.now()),
  };
}

/** The table of snapshots. `now`: ms since the epoch. Pure. */
export function snapshotTable(snapshots: readonly SnapshotInfo[], now: number): string {
  return renderTable(
    [
      { head: "NAME" },
      { head: "KIND" },
      { head: "OF" },
      { head: "IMAGE" },
      { head: "MEMORY", align: "right" },
      { head: "SIZE", align: "right" },
      { head: "OVER" },
      { head: "AGE", align: "right" },
    ],
    snapshots.map((snapshot) => [
      snapshot.name,
      snapshot.kind,
      snapshot.source.name,
      snapshot.image,
      formatMib(snapshot.memSizeMib),
      formatBytes(snapshot.diskBytes),
      snapshot.base ?? "-",
      formatUptime(Math.max(0, now - Date.parse(snapshot.createdAt))),
    ]),
  );
}

export const snapshotLs: Command = { spec, run: snapshotLsCommand };
