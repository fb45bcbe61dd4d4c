import { SmolVM } from "../../src/index.ts";
import { MinimalAgent } from "../floor/minimal-agent.ts";
import { rawAgent } from "../machine.ts";
import type { Setting } from "../setting.ts";
import { checkOutput, interleave, type Measurement, timed, toRow } from "../stats.ts";

/** Row 3: warm commands, against a minimal agent in a machine of its own. */
export async function warmRun({ target, runs }: Setting): Promise<Measurement[]> {
  await using vm = await SmolVM.create(target);
  await using minimal = await MinimalAgent.boot(target);
  const { shell, shellFloor, program, programFloor } = await interleave(runs, {
    shell: () => timed(async () => checkOutput((await vm.run("echo hi")).stdout, "hi\n")),
    shellFloor: () =>
      timed(async () => checkOutput((await minimal.run("/bin/sh", "-c", "echo hi")).text, "hi\n")),
    program: () => timed(async () => checkOutput(String((await vm.run(["/bin/true"])).exitCode), "0")),
    programFloor: () => timed(async () => checkOutput(String((await minimal.run("/bin/true")).status), "0")),
  });
  return [
    warmRow("sh -c 'echo hi'", 1.15, { ours: shell, floor: shellFloor }),
    warmRow("/bin/true", 1.3, { ours: program, floor: programFloor }),
  ];
}

/** The same for Firecracker, against our own agent over a bare session: the minimal one has no vsock. */
export async function warmRunOfSession({ target, runs }: Setting): Promise<Measurement[]> {
  await using vm = await SmolVM.create(target);
  const raw = await rawAgent(vm, 4);
  const samples = await interleave(runs, {
    ours: () => timed(async () => checkOutput((await vm.run("echo hi")).stdout, "hi\n")),
    floor: () => timed(async () => checkOutput((await raw.run("echo hi")).text, "hi\n")),
  });
  raw.close();
  return [warmRow("sh -c 'echo hi', against a bare session with the same agent", 1.2, samples)];
}

function warmRow(name: string, most: number, samples: Measurement["samples"]): Measurement {
  const row = toRow(
    { row: "3", name: `warm ${name}`, unit: "ms", goal: `p50 <= ${most} x floor, p99 <= 3 x p50` },
    samples,
    ({ ratio, p50, p99 }) => ratio <= most && p99 <= 3 * p50,
  );
  return { samples, row };
}
