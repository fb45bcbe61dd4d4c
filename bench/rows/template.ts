import { SmolVM } from "../../src/index.ts";
import { MinimalTemplate } from "../floor/minimal-template.ts";
import type { Setting } from "../setting.ts";
import { checkOutput, interleave, type Measurement, timed, toRow } from "../stats.ts";

/** Row 2: a sandbox from a template -> its first checked output, against a machine with the minimal agent that QEMU alone restores. */
export async function fromTemplate({ target, n = 20 }: Setting): Promise<Measurement[]> {
  await SmolVM.warm({ ...target, template: "auto" });
  await using template = await MinimalTemplate.record(target);
  const samples = await interleave(n, {
    ours: async () => {
      let vm: SmolVM | undefined;
      const took = await timed(async () => {
        vm = await SmolVM.create({ ...target, template: "auto" });
        checkOutput((await vm.run("echo hi")).stdout, "hi\n");
      });
      checkOutput(String((await vm!.info()).startedFrom), "template");
      await vm!.delete();
      return took;
    },
    floor: async () => {
      let agent: Awaited<ReturnType<MinimalTemplate["restore"]>> | undefined;
      const took = await timed(async () => {
        agent = await template.restore();
        checkOutput((await agent.run("/bin/sh", "-c", "echo hi")).text, "hi\n");
      });
      await agent![Symbol.asyncDispose]();
      return took;
    },
  });
  const what = { row: "2", name: "template -> first output", unit: "ms", goal: "<= 1.15 x floor" } as const;
  return [{ samples, row: toRow(what, samples, ({ ratio }) => ratio <= 1.15) }];
}
