import { SmolVM } from "../../src/index.ts";
import { concurrently } from "../../src/util/concurrently.ts";
import { MinimalTemplate } from "../floor/minimal-template.ts";
import type { Setting } from "../setting.ts";
import { checkOutput, type Measurement, toRow } from "../stats.ts";
import { pssMib } from "./memory.ts";

/** How long the idle ones are watched, in ms. */
const IDLE_MS = 10_000;

/**
 * Row 14: so many sandboxes from one template (`--n`, default 100) answer at the same time. What one of them takes of memory (PSS, its VMM's), against as many
 * machines that QEMU alone restores from one memory, up to ten; and of processor time, when it has nothing to do.
 */
export async function density({ target, n = 100 }: Setting): Promise<Measurement[]> {
  const options = { ...target, template: "auto", lifetime: "owner" } as const;
  await SmolVM.warm(options);
  const vms = await SmolVM.createMany(n, options);
  try {
    await concurrently(n, 2, async (index) => checkOutput((await vms[index]!.run("echo hi")).stdout, "hi\n"));
    const first = await usage(vms);
    await new Promise((resolve) => setTimeout(resolve, IDLE_MS));
    const second = await usage(vms);
    await concurrently(n, 2, async (index) =>
      checkOutput((await vms[index]!.run("echo again")).stdout, "again\n"),
    );
    const floor = await floorMib(target, Math.min(n, 10));
    const idle = second.map(({ cpuMs }, index) => ((cpuMs - first[index]!.cpuMs) / IDLE_MS) * 1_000);
    const memory = { ours: second.map(({ mib }) => mib), floor };
    const cpu = { ours: idle, floor: idle };
    return [
      {
        samples: memory,
        row: toRow(
          {
            row: "14",
            name: `memory of each of ${n} sandboxes from one template (PSS)`,
            unit: "MiB",
            goal: "<= 1.1 x floor",
          },
          memory,
          ({ ratio }) => ratio <= 1.1,
        ),
      },
      {
        samples: cpu,
        row: toRow(
          {
            row: "14",
            name: `processor time of each, idle, in a second`,
            unit: "ms",
            goal: "all of them answer",
          },
          cpu,
          () => true,
        ),
      },
    ];
  } finally {
    await concurrently(n, 4, (index) => vms[index]!.delete());
  }
}

async function usage(vms: readonly SmolVM[]): Promise<{ mib: number; cpuMs: number }[]> {
  const taken: { mib: number; cpuMs: number }[] = [];
  for (const vm of vms) {
    const { pid, cpuTimeMs } = await vm.stats();
    taken.push({ mib: pssMib(pid!), cpuMs: cpuTimeMs! });
  }
  return taken;
}

/** PSS of each of some machines with the minimal agent, all there at the same time. They share one disk, to which nothing is written. */
async function floorMib(target: Setting["target"], count: number): Promise<number[]> {
  await using template = await MinimalTemplate.record(target);
  const agents = await concurrently(count, 2, async (index) => {
    const agent = await template.restore(index);
    checkOutput((await agent.run("/bin/sh", "-c", "echo hi")).text, "hi\n");
    return agent;
  });
  const memory = agents.map(({ pid }) => pssMib(pid));
  await Promise.all(agents.map((agent) => agent[Symbol.asyncDispose]()));
  return memory;
}
