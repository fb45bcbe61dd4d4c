import { availableParallelism } from "node:os";
import { SmolVM } from "../../src/index.ts";
import { bootByHand, type RawMachine, rawMachine, type Target } from "../machine.ts";
import { checkOutput, interleave, type Measurement, toRow } from "../stats.ts";

/** Sandboxes of one sample: enough that every worker goes round several times. */
const PER_SAMPLE = 8;

/** Row 11: sandboxes started, answered and removed per second, as many at a time as there are CPUs. */
export async function rate(target: Target, n: number = 4): Promise<Measurement[]> {
  const workers = availableParallelism();
  // Sandboxes of ours that were stopped lend their machines to the floor: same argv, a disk and sockets for each worker.
  const models = await SmolVM.createMany(workers, { ...target, lifetime: "detached" });
  const machines: RawMachine[] = [];
  for (const model of models) {
    machines.push(await rawMachine(model, 1));
    await model.stop();
  }
  const floor = (worker: number): Promise<void> => bootByHand(machines[worker]!, () => {});
  const samples = await interleave(
    n,
    () => perSecond(workers, () => ours(target)),
    () => perSecond(workers, floor),
  );
  for (const model of models) await model.delete({ force: true });
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
