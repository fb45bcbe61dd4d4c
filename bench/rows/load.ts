import { SmolVM } from "../../src/index.ts";
import { LOADS, type Load } from "../../tests/contract/hostile-loads.ts";
import type { Target } from "../machine.ts";
import type { Setting } from "../setting.ts";
import { checkOutput, type Measurement, timed, toRow } from "../stats.ts";

/** Commands that warm a fresh sandbox up. */
const WARM_UP = 5;
/** Samples of each round, without the load and then with it. */
const SAMPLES = 10;
/** Most time for a load to do its worst, in ms. */
const GROW_MS = 120_000;
const MOST = 3;

/**
 * Row 13: a command beside each load of the contract suite's hostile table, against the same command in the same sandbox before the
 * load. Every round has a sandbox of its own, because a full disk stays full; the rounds of the loads take turns.
 */
export async function load({ target, n = 3 }: Setting): Promise<Measurement[]> {
  const samples = LOADS.map(() => ({ ours: [] as number[], floor: [] as number[] }));
  for (let round = 0; round < n; round++) {
    for (const [i, one] of LOADS.entries()) {
      const { idle, beside } = await measure(target, one);
      samples[i]!.floor.push(...idle);
      samples[i]!.ours.push(...beside);
    }
  }
  return LOADS.map(({ name }, i) => ({
    samples: samples[i]!,
    row: toRow(
      { row: "13", name: `echo hi beside ${name}`, unit: "ms", goal: `p50 <= ${MOST} x idle` },
      samples[i]!,
      ({ ratio }) => ratio <= MOST,
    ),
  }));
}

async function measure(target: Target, one: Load): Promise<{ idle: number[]; beside: number[] }> {
  const vm = await SmolVM.create({ ...target, memSizeMib: 256, ...one.own });
  const end = new AbortController();
  try {
    for (let i = 0; i < WARM_UP; i++) await hi(vm);
    const idle = await take(vm);
    let isLoaded = false;
    let ended: unknown;
    const running = vm.run(one.command, {
      signal: end.signal,
      user: one.user,
      limits: one.pids === undefined ? undefined : { pids: one.pids },
      onStdout: (chunk) => {
        isLoaded ||= Buffer.from(chunk).includes("loaded");
      },
    });
    const watched = running.catch((error: unknown) => error).then((how) => (ended = how));
    const late = performance.now() + GROW_MS;
    while (!isLoaded && !(await one.inForce?.(vm))) {
      if (ended !== undefined || performance.now() > late) throw new Error(`${one.name}: did not come about`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const beside = await take(vm);
    if (ended !== undefined) throw new Error(`${one.name}: ended by itself`);
    end.abort();
    await watched;
    return { idle, beside };
  } finally {
    end.abort();
    await vm.delete({ force: true });
  }
}

const hi = (vm: SmolVM): Promise<number> =>
  timed(async () => checkOutput((await vm.run("echo hi")).stdout, "hi\n"));

async function take(vm: SmolVM): Promise<number[]> {
  const samples: number[] = [];
  for (let i = 0; i < SAMPLES; i++) samples.push(await hi(vm));
  return samples;
}
