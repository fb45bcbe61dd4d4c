import { SmolVM } from "../../src/index.ts";
import { FirecrackerTemplate } from "../floor/firecracker-template.ts";
import { eachKind, rowsOf } from "../kinds.ts";
import type { Setting } from "../setting.ts";
import { checkOutput, interleave, type Measurement, timed } from "../stats.ts";
import { coldCreate } from "./cold-create.ts";
import { warmRunOfSession } from "./warm-run.ts";

/** Row 10: rows 1, 2 and 3 on Firecracker. */
export async function firecracker(setting: Setting): Promise<Measurement[]> {
  const on: Setting = { ...setting, target: { ...setting.target, backend: "firecracker" } };
  const measured = [...(await coldCreate(on)), ...(await restored(on)), ...(await warmRunOfSession(on))];
  return measured.map(({ row, samples }) => ({
    samples,
    row: { ...row, row: "10", name: `Firecracker, ${row.name}` },
  }));
}

/** A sandbox from a template -> its first checked output, against a machine that Firecracker alone restores, with our agent. */
async function restored(setting: Setting): Promise<Measurement[]> {
  const { target, n = 10 } = setting;
  const from = { ...target, template: "auto" } as const;
  await SmolVM.warm(from);
  await using template = await FirecrackerTemplate.record(target);
  const samples = await interleave(n, {
    ...eachKind(setting, async ({ create, check }) => {
      let vm: SmolVM | undefined;
      const took = await timed(async () => {
        vm = await create(from);
        checkOutput((await vm.run("echo hi")).stdout, "hi\n");
      });
      checkOutput(String((await vm!.info()).startedFrom), "template");
      await check(vm!);
      await vm!.delete();
      return took;
    }),
    floor: async () => {
      template.renew();
      let machine: Awaited<ReturnType<FirecrackerTemplate["restore"]>> | undefined;
      const took = await timed(async () => {
        machine = await template.restore();
        checkOutput((await machine.agent.run("echo hi")).text, "hi\n");
      });
      machine!.agent.close();
      await machine!.end();
      return took;
    },
  });
  return rowsOf(
    { row: "2", name: "template -> first output", unit: "ms", goal: "<= 1.15 x floor" },
    samples,
    ({ ratio }) => ratio <= 1.15,
  );
}
