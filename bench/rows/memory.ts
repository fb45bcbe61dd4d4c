import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { eachKind, rowsOf } from "../kinds.ts";
import { bootByHand, lendMachine } from "../machine.ts";
import type { Setting } from "../setting.ts";
import { checkOutput, interleave, type Measurement } from "../stats.ts";

/** In MiB. */
interface Memory {
  readonly vmm: number;
  /** VMM, monitor, and what encloses them */
  readonly sandbox: number;
}

/**
 * Row 7 for cold boots: memory of a sandbox that has answered one command, against the VMM driven by hand. PSS: a page that
 * n processes share counts as its nth part.
 */
export async function memory(setting: Setting): Promise<Measurement[]> {
  const { target, n = 5 } = setting;
  await using lent = await lendMachine(target);
  const samples = await interleave<string, Memory>(n, {
    ...eachKind(setting, async ({ create, check }) => {
      await using vm = await create(target);
      checkOutput((await vm.run("echo hi")).stdout, "hi\n");
      await check(vm);
      const { pid } = await vm.info();
      const vmm = pssMib(pid!);
      return { vmm, sandbox: around(pid!).reduce((sum, process) => sum + pssMib(process), vmm) };
    }),
    floor: () =>
      bootByHand(lent.machine, (pid) => {
        const vmm = pssMib(pid);
        return { vmm, sandbox: vmm };
      }),
  });
  const row = (name: string, part: keyof Memory): Measurement[] =>
    rowsOf(
      { row: "7", name, unit: "MiB", goal: "<= 1.1 x floor" },
      Object.fromEntries(
        Object.entries(samples).map(([kind, taken]) => [kind, taken.map((memory) => memory[part])]),
      ),
      ({ ratio }) => ratio <= 1.1,
    );
  return [...row("memory of an idle sandbox (PSS)", "sandbox"), ...row("its VMM's part", "vmm")];
}

/** The processes of ours above a VMM: its monitor, and bubblewrap's in between. */
function around(pid: number): number[] {
  const parent = Number(/^PPid:\s*(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
  const program = basename(readFileSync(`/proc/${parent}/cmdline`, "utf8").split("\0")[0]!);
  return /^(bwrap|monitor-.*)$/.test(program) ? [parent, ...around(parent)] : [];
}

/** proc(5): smaps_rollup, in KiB */
export function pssMib(pid: number): number {
  return Number(/^Pss:\s*(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1]) / 1024;
}
