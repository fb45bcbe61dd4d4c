import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { SmolVM } from "../../src/index.ts";
import { builtCli } from "../built-cli.ts";
import type { Setting } from "../setting.ts";
import { checkOutput, interleave, type Measurement, percentile, timed, toRow } from "../stats.ts";

const run = promisify(execFile);

/** Row 8: `smolvm exec NAME true` as a whole process, minus a warm run, against `node -e 0`. Needs `npm run build`. */
export async function cliStart({ target, n = 30 }: Setting): Promise<Measurement[]> {
  const cli = builtCli();
  await using vm = await SmolVM.create(target);
  const warm: number[] = [];
  for (let i = 0; i < 50; i++) {
    warm.push(await timed(async () => checkOutput(String((await vm.run("true")).exitCode), "0")));
  }
  const samples = await interleave(n, {
    ours: () => timed(() => run(process.execPath, [cli, "exec", vm.name, "--", "true"])),
    floor: () => timed(() => run(process.execPath, ["-e", "0"])),
  });
  const command = percentile(warm, 0.5);
  const net = { ...samples, ours: samples.ours.map((ms) => ms - command) };
  return [
    {
      samples: net,
      row: toRow(
        { row: "8", name: "smolvm exec NAME true, minus a warm run", unit: "ms", goal: "<= 1.8 x node -e 0" },
        net,
        ({ ratio }) => ratio <= 1.8,
      ),
    },
  ];
}
