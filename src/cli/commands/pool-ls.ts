import { SmolVM } from "../../smolvm.ts";
import type { PoolInfo } from "../../vm/pool/manage.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import type { Io } from "../io.ts";
import { renderTable } from "../render/table.ts";
import { formatMib } from "../render/units.ts";

const spec: CommandSpec = {
  name: "pool ls",
  usage: "[OPTIONS]",
  operands: { min: 0, max: 0, what: "nothing" },
  options: COMMON_OPTIONS,
  exit: "plain",
  notes: ["With --quiet only the names, one a line."],
  examples: ["smolvm pool ls"],
};

async function poolLsCommand(io: Io): Promise<Outcome> {
  const pools = await SmolVM.pools.list();
  return {
    data: pools,
    text: () => (io.quiet ? pools.map(({ name }) => `${name}\n`).join("") : poolTable(pools)),
  };
}

/** The table of pools. Pure. */
export function poolTable(pools: readonly PoolInfo[]): string {
  return renderTable(
    [
      { head: "NAME" },
      { head: "READY", align: "right" },
      { head: "IMAGE" },
      { head: "MEMORY", align: "right" },
      { head: "KEPT BY" },
    ],
    pools.map(({ name, ready, size, image, memSizeMib, keeper, failure }) => [
      name,
      `${ready}/${size}`,
      image,
      formatMib(memSizeMib),
      failure === undefined ? (keeper === undefined ? "supervisor" : `process ${keeper}`) : failure.message,
    ]),
  );
}

export const poolLs: Command = { spec, run: poolLsCommand };
