import { SmolVM } from "../../smolvm.ts";
import type { VMStats } from "../../vm/info/stats.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import { forEachName } from "../each.ts";
import type { Io } from "../io.ts";
import { renderTable } from "../render/table.ts";
import { formatBytes, formatMib, formatUptime } from "../render/units.ts";

const spec: CommandSpec = {
  name: "stats",
  usage: "[OPTIONS] NAME...",
  operands: { min: 1, max: Number.POSITIVE_INFINITY, what: "the sandbox's name", complete: "sandboxes" },
  options: COMMON_OPTIONS,
  exit: "plain",
  notes: [
    "What the sandboxes use of this machine: CPU time and memory of the process that runs each (memory it shares with others is counted in part), and the room that the writable disk takes; memory and disk with what they may come to.",
  ],
  examples: ["smolvm stats box", "smolvm stats $(smolvm ls -q --state running)"],
};

async function statsCommand(_io: Io, args: Arguments): Promise<Outcome> {
  const stats = await forEachName(args.operands, async (name) => await (await SmolVM.get(name)).stats());
  return { data: stats, text: () => statsTable(stats) };
}

/** The table of what sandboxes use. Pure. */
export function statsTable(stats: readonly VMStats[]): string {
  return renderTable(
    [
      { head: "NAME" },
      { head: "STATE" },
      { head: "CPU TIME", align: "right" },
      { head: "MEMORY", align: "right" },
      { head: "DISK", align: "right" },
    ],
    stats.map((vm) => [
      vm.name,
      vm.state,
      vm.cpuTimeMs === undefined ? "-" : formatCpuTime(vm.cpuTimeMs),
      share(vm.memoryBytes, vm.memSizeMib),
      share(vm.diskBytes, vm.diskSizeMib),
    ]),
  );
}

/** "120M / 512M", or only what it was given where the host does not say what is used. */
function share(bytes: number | undefined, ofMib: number): string {
  return `${bytes === undefined ? "-" : formatBytes(bytes)} / ${formatMib(ofMib)}`;
}

function formatCpuTime(ms: number): string {
  return ms < 60_000 ? `${(ms / 1000).toFixed(1)}s` : formatUptime(ms);
}

export const stats: Command = { spec, run: statsCommand };
