import { SmolVM } from "../../src/index.ts";
import { rawAgent } from "../machine.ts";
import type { Setting } from "../setting.ts";
import { checkOutput, interleave, type Measurement, timed, toRow } from "../stats.ts";

/** Row 3: a warm `run("echo hi")`, against the same command over another session with the same machine. */
export async function warmRun({ target, runs }: Setting): Promise<Measurement[]> {
  await using vm = await SmolVM.create(target);
  const raw = await rawAgent(vm, 4);
  const samples = await interleave(runs, {
    ours: () => timed(async () => checkOutput((await vm.run("echo hi")).stdout, "hi\n")),
    floor: () => timed(async () => checkOutput((await raw.run("echo hi")).text, "hi\n")),
  });
  raw.close();
  return [
    {
      samples,
      row: toRow(
        { row: "3", name: "warm run", unit: "ms", goal: "p50 <= 1.2 x floor, p99 <= 3 x p50" },
        samples,
        ({ ratio, p50, p99 }) => ratio <= 1.2 && p99 <= 3 * p50,
      ),
    },
  ];
}
