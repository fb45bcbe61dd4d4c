import { availableParallelism } from "node:os";
import { SmolVM } from "../../src/index.ts";
import { bootByHand, type LentMachine, lendMachine, type Target } from "../machine.ts";
import type { Setting } from "../setting.ts";
import { checkOutput, interleave, type Measurement, toRow } from "../stats.ts";

/** Sandboxes of one sample: enough that every worker goes round several times. */
const PER_SAMPLE = 8;

/** Row 11: sandboxes started, answered and removed per second, as many at a time as there are CPUs. */
export async function rate({ target, n = 4 }: Setting): Promise<Measurement[]> {
  const workers = availableParallelism();
  // A disk and sockets for each worker.
  const lent: LentMachine[] = [];
  for (let worker = 0; worker < workers; worker++) lent.push(await lendMachine(target));
  const samples = await interleave(n, {
    ours: () => perSecond(workers, () => ours(target)),
    floor: () => perSecond(workers, (worker) => bootByHand(lent[worker]!.machine, () => {})),
  });
  for (const machine of lent) await machine[Symbol.asyncDispose]();
  return [
    {
      samples,
      row: toRow(
        {
          row: "11",
          name: `sandboxes per second, ${workers} at a time`,
          unit: "1/s",
          goal: ">= 0.85 x floor",
        },
        samples,
        ({ ratio }) => ratio >= 0.85,
      ),
    },
  ];
}

async function ours(target: Target): Promise<void> {
  const vm = await SmolVM.create(target);
  checkOutput((await vm.run("echo hi")).stdout, "hi\n");
  await vm.delete();
}

/** The rate at which `workers` of them, each one after the other, do PER_SAMPLE in all. */
async function perSecond(workers: number, act: (worker: number) => Promise<void>): Promise<number> {
  let left = PER_SAMPLE;
  const start = performance.now();
  await Promise.all(
    Array.from({ length: workers }, async (_, worker) => {
      while (left-- > 0) await act(worker);
    }),
  );
  return PER_SAMPLE / ((performance.now() - start) / 1_000);
}
