import { SmolVM } from "../../src/index.ts";
import { bootByHand, rawMachine, type Target } from "../machine.ts";
import { checkOutput, interleave, type Measurement, timed, toRow } from "../stats.ts";

/** Row 1: cold create -> first checked output, against the same VMM, kernel, agent and image driven by hand. */
export async function coldCreate(target: Target, n: number = 10): Promise<Measurement[]> {
  // A sandbox of ours that was stopped lends its machine to the floor: same argv, same disks, same sockets.
  await using model = await SmolVM.create({ ...target, lifetime: "detached" });
  const machine = await rawMachine(model, 1);
  await model.stop();

  const floor = async (): Promise<number> => {
    const start = performance.now();
    return bootByHand(machine, () => performance.now() - start);
  };
  const ours = async (): Promise<number> => {
    let vm: SmolVM | undefined;
    const took = await timed(async () => {
      vm = await SmolVM.create(target);
      checkOutput((await vm.run("echo hi")).stdout, "hi\n");
    });
    await vm!.delete();
    return took;
  };
  const samples = await interleave(n, ours, floor);
  await model.delete({ force: true });
  return [
    {
      samples,
      row: toRow(
        { row: "1", name: "cold create -> first output", unit: "ms", goal: "<= 1.10 x floor" },
        samples,
        ({ ratio }) => ratio <= 1.1,
      ),
    },
  ];
}
