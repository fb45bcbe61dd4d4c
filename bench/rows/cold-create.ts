import type { SmolVM } from "../../src/index.ts";
import { eachKind, rowsOf } from "../kinds.ts";
import { bootByHand, lendMachine } from "../machine.ts";
import type { Setting } from "../setting.ts";
import { checkOutput, interleave, type Measurement, timed } from "../stats.ts";

/** Row 1: cold create -> first checked output, against the same VMM, kernel, agent and image driven by hand. */
export async function coldCreate(setting: Setting): Promise<Measurement[]> {
  const { target, n = 10 } = setting;
  await using lent = await lendMachine(target);
  const samples = await interleave(n, {
    ...eachKind(setting, async ({ create, check }) => {
      let vm: SmolVM | undefined;
      const took = await timed(async () => {
        vm = await create(target);
        checkOutput((await vm.run("echo hi")).stdout, "hi\n");
      });
      await check(vm!);
      await vm!.delete();
      return took;
    }),
    floor: () => {
      const start = performance.now();
      return bootByHand(lent.machine, () => performance.now() - start);
    },
  });
  return rowsOf(
    { row: "1", name: "cold create -> first output", unit: "ms", goal: "<= 1.10 x floor" },
    samples,
    ({ ratio }) => ratio <= 1.1,
  );
}
