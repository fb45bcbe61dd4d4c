import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { SmolVM } from "../../src/index.ts";
import { bootByHand, rawMachine, type Target } from "../machine.ts";
import { checkOutput, interleave, type Measurement, toRow } from "../stats.ts";

/**
 * Row 7 for cold boots: memory of a sandbox that has answered one command, all its processes (VMM, monitor, what encloses
 * them), against the VMM driven by hand. PSS: a page that n processes share counts as its nth part.
 */
export async function memory(target: Target, n: number = 5): Promise<Measurement[]> {
  await using model = await SmolVM.create({ ...target, lifetime: "detached" });
  const machine = await rawMachine(model, 1);
  await model.stop();
  const ours = async (): Promise<number> => {
    await using vm = await SmolVM.create(target);
    checkOutput((await vm.run("echo hi")).stdout, "hi\n");
    const { pid } = await vm.info();
    return sum([pid!, ...around(pid!)].map(pssMib));
  };
  const samples = await interleave(n, ours, () => bootByHand(machine, pssMib));
  await model.delete({ force: true });
  return [
    {
      samples,
      row: toRow(
        { row: "7", name: "memory of an idle sandbox (PSS)", unit: "MiB", goal: "<= 1.1 x floor" },
        samples,
        ({ ratio }) => ratio <= 1.1,
      ),
    },
  ];
}

/** The processes of ours above a VMM: its monitor, and bubblewrap's in between. */
function around(pid: number): number[] {
  const parent = Number(/^PPid:\s*(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
  const program = basename(readFileSync(`/proc/${parent}/cmdline`, "utf8").split("\0")[0]!);
  return /^(bwrap|monitor-.*)$/.test(program) ? [parent, ...around(parent)] : [];
}

/** proc(5): smaps_rollup, in KiB */
function pssMib(pid: number): number {
  return Number(/^Pss:\s*(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1]) / 1024;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
