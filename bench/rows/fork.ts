import { SmolVM } from "../../src/index.ts";
import type { Setting } from "../setting.ts";
import { checkOutput, interleave, type Measurement, timed, toRow } from "../stats.ts";

/**
 * Row 5: a sandbox that went on from a template is forked: the time that it stands still (snapshots say it), and its child's first checked output, against
 * that of a sandbox from the template.
 */
export async function fork({ target, n = 20 }: Setting): Promise<Measurement[]> {
  const options = { ...target, template: "auto" } as const;
  await SmolVM.warm(options);
  await using parent = await SmolVM.create(options);
  await parent.run("echo warm");
  const first = async (vm: SmolVM): Promise<void> => checkOutput((await vm.run("echo hi")).stdout, "hi\n");
  const samples = await interleave(n, {
    stopped: async () => {
      const { stoppedMs } = await parent.snapshot("bench");
      await SmolVM.snapshots.delete("bench");
      return stoppedMs!;
    },
    child: async () => {
      let child: SmolVM | undefined;
      const took = await timed(async () => {
        [child] = await parent.fork();
        await first(child!);
      });
      await child!.delete();
      return took;
    },
    template: async () => {
      let vm: SmolVM | undefined;
      const took = await timed(async () => {
        vm = await SmolVM.create(options);
        await first(vm);
      });
      await vm!.delete();
      return took;
    },
  });
  const { stopped, child, template } = samples;
  const still = { ours: stopped, floor: stopped };
  const made = { ours: child, floor: template };
  return [
    {
      samples: still,
      row: toRow(
        { row: "5", name: "fork or snapshot: the parent stands still", unit: "ms", goal: "<= 30 ms" },
        still,
        ({ p50 }) => p50 <= 30,
      ),
    },
    {
      samples: made,
      row: toRow(
        {
          row: "5",
          name: "fork -> the child's first output, against a template's",
          unit: "ms",
          goal: "<= 1.2 x",
        },
        made,
        ({ ratio }) => ratio <= 1.2,
      ),
    },
  ];
}
