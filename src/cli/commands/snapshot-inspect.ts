import { SmolVM } from "../../smolvm.ts";
import type { SnapshotInfo } from "../../vm/snapshots/describe.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import { forEachName } from "../each.ts";
import type { Io } from "../io.ts";
import { renderFields } from "../render/table.ts";
import { formatBytes, formatMib } from "../render/units.ts";

const spec: CommandSpec = {
  name: "snapshot inspect",
  usage: "[OPTIONS] SNAPSHOT...",
  operands: { min: 1, max: Number.POSITIVE_INFINITY, what: "the snapshot's name", complete: "snapshots" },
  options: COMMON_OPTIONS,
  exit: "plain",
  notes: ["With --json and one name `data` is an object, with more an array."],
  examples: ["smolvm snapshot inspect before-upgrade"],
};

async function snapshotInspectCommand(io: Io, args: Arguments): Promise<Outcome> {
  const infos = await forEachName(args.operands, (name) => SmolVM.snapshots.get(name));
  return {
    data: infos.length === 1 ? infos[0] : infos,
    text: () => infos.map((info) => snapshotFields(info, io.stdout.columns)).join("\n"),
  };
}

function snapshotFields(info: SnapshotInfo, columns?: number): string {
  return renderFields(
    [
      ["name", info.name],
      ["kind", info.kind === "full" ? "full: memory, processes and disk" : "disk: the disk alone"],
      ["of", `${info.source.name} (${info.source.id})`],
      ["created", info.createdAt],
      ["image", info.image],
      ["cpus", String(info.vcpuCount)],
      ["memory", formatMib(info.memSizeMib)],
      ["disk", formatMib(info.diskSizeMib)],
      ["size", `${formatBytes(info.diskBytes)} of this machine's disk`],
      ["digest", info.digest],
      ["layers", info.base === undefined ? undefined : layersText(info)],
      ["needed by", info.users.length === 0 ? undefined : info.users.join(", ")],
      ["stood still", info.stoppedMs === undefined ? undefined : `${info.stoppedMs} ms`],
    ],
    columns,
  );
}

/** What it consists of, the lowest first. */
function layersText({ layers, base }: SnapshotInfo): string {
  const words = layers.map(({ name, diskBytes }) => `${name} (${formatBytes(diskBytes)})`).join(", ");
  return layers.length === 1 ? `${words}; '${base}' is missing` : words;
}

export const snapshotInspect: Command = { spec, run: snapshotInspectCommand };
