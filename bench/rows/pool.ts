import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { SandboxPool, SmolVM } from "../../src/index.ts";
import { builtCli } from "../built-cli.ts";
import type { Setting } from "../setting.ts";
import { checkOutput, interleave, type Measurement, timed, toRow } from "../stats.ts";

const run = promisify(execFile);
const NAME = "bench";

/**
 * Row 4: a sandbox taken from a pool, and its first checked output, and the whole of `smolvm run --pool`, against `node -e 0`. The pool is full at each
 * taking. Needs `npm run build`.
 */
export async function pool({ target, n = 30 }: Setting): Promise<Measurement[]> {
  const { timeoutMs, ...options } = target;
  await SmolVM.warm({ ...options, template: "auto", timeoutMs });
  return [...(await taken(options, n)), await whole(options, n)];
}

async function taken(options: object, n: number): Promise<Measurement[]> {
  await using own = new SandboxPool({ ...options, template: "auto", size: 1 });
  const handed: number[] = [];
  const samples = await interleave(n, {
    ours: async () => {
      await own.filled();
      let vm: SmolVM | undefined;
      const took = await timed(async () => {
        handed.push(
          await timed(async () => {
            vm = await own.take();
          }),
        );
        checkOutput((await vm!.run("echo hi")).stdout, "hi\n");
      });
      await vm!.delete();
      return took;
    },
    floor: () => timed(() => run(process.execPath, ["-e", "0"])),
  });
  const out = { ours: handed.slice(-samples.ours.length), floor: samples.floor };
  const hand = { row: "4", name: "pool take: it is handed out", unit: "ms", goal: "< 10 ms" } as const;
  const what = { row: "4", name: "pool take -> first output", unit: "ms", goal: "<= 10 ms" } as const;
  return [
    { samples: out, row: toRow(hand, out, ({ p50 }) => p50 < 10) },
    { samples, row: toRow(what, samples, ({ p50 }) => p50 <= 10) },
  ];
}

async function whole(options: object, n: number): Promise<Measurement> {
  const cli = builtCli();
  await SmolVM.pools.create({ ...options, template: "auto", name: NAME, size: 1 });
  try {
    const samples = await interleave(n, {
      ours: async () => {
        await full();
        const words = ["run", "--quiet", "--pool", NAME, "--", "echo", "hi"];
        return await timed(async () =>
          checkOutput((await run(process.execPath, [cli, ...words])).stdout, "hi\n"),
        );
      },
      floor: () => timed(() => run(process.execPath, ["-e", "0"])),
    });
    const name = "smolvm run --pool -- echo hi";
    const what = { row: "4", name, unit: "ms", goal: "<= 2.5 x node -e 0" } as const;
    return { samples, row: toRow(what, samples, ({ ratio }) => ratio <= 2.5) };
  } finally {
    await SmolVM.pools.delete(NAME);
  }
}

async function full(): Promise<void> {
  while (!(await SmolVM.pools.list()).some(({ name, ready }) => name === NAME && ready > 0))
    await new Promise((resolve) => setTimeout(resolve, 20));
}
