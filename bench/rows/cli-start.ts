import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { SmolVM } from "../../src/index.ts";
import type { Setting } from "../setting.ts";
import { checkOutput, interleave, type Measurement, percentile, timed, toRow } from "../stats.ts";

const run = promisify(execFile);
const CLI = join(import.meta.dirname, "../../dist/cli/bin.js");

/** Row 8: `smolvm exec NAME true` as a whole process, minus a warm run, against `node -e 0`. Needs `npm run build`. */
export async function cliStart({ target, n = 30 }: Setting): Promise<Measurement[]> {
  await using vm = await SmolVM.create(target);
  const warm: number[] = [];
  for (let i = 0; i < 50; i++) {
    warm.push(await timed(async () => checkOutput(String((await vm.run("true")).exitCode), "0")));
  }
  const samples = await interleave(n, {
    ours: () => timed(() => run(process.execPath, [CLI, "exec", vm.name, "--", "true"])),
    floor: () => timed(() => run(process.execPath, ["-e", "0"])),
  });
  const command = percentile(warm, 0.5);
  const net = { ...samples, ours: samples.ours.map((ms) => ms - command) };
  return [
    {
      samples: net,
      row: toRow(
        { row: "8", name: "smolvm exec NAME true, minus a warm run", unit: "ms", goal: "<= 2 x node -e 0" },
        net,
        ({ ratio }) => ratio <= 2,
      ),
    },
  ];
}
