/** Measures rows of the performance goals: npm run bench -- --help */
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { dirname, join } from "node:path";
import { program } from "../scripts/program.ts";
import { BENCH, readSetting } from "./command-line.ts";
import { withOwnHome } from "./own-home.ts";
import { ROWS } from "./rows/index.ts";
import { type Measurement, percentile, timed } from "./stats.ts";

await program(BENCH, async (args) => {
  const { rows, setting } = readSetting(args);
  // What this machine's speed is today.
  const nodeStartMs = percentile(await nodeStarts(), 0.5);
  console.error(`node -e 0: ${nodeStartMs.toFixed(0)} ms, load ${loadavg()[0]!.toFixed(1)}`);
  const out = args.value("out") ?? defaultOut();
  mkdirSync(dirname(out), { recursive: true });
  const machine = {
    nodeStartMs,
    load: loadavg()[0],
    cpu: cpus()[0]?.model,
    cores: cpus().length,
    node: process.version,
    platform: process.platform,
  };
  const measured: Measurement[] = [];
  await withOwnHome(async () => {
    for (const row of rows) {
      for (const measurement of await ROWS[row]!.measure(setting)) {
        measured.push(measurement);
        console.log(args.flag("json") ? JSON.stringify(measurement.row) : lines(measurement.row));
      }
      // Row by row: what was measured stays, should the time end here.
      writeFileSync(out, JSON.stringify({ machine, target: setting.target, measured }, undefined, 1));
    }
  });
  console.error(`raw samples: ${out}, load ${loadavg()[0]!.toFixed(1)}`);
  return undefined;
});

/** A row for people. */
function lines({ row, name, unit, ours, floor, ratio, p95, p99, n, goal, met }: Measurement["row"]): string {
  const [a, b, c, d] = [ours, floor, p95, p99].map((value) => value.toFixed(1));
  return (
    `${row}  ${name}: ${a} ${unit}, floor ${b}, ratio ${ratio.toFixed(3)}\n` +
    `   p95 ${c}, p99 ${d}, n ${n}; goal ${goal}: ${met ? "met" : "NOT met"}`
  );
}

function defaultOut(): string {
  return join(import.meta.dirname, "results", `${new Date().toISOString().replaceAll(":", "-")}.json`);
}

async function nodeStarts(): Promise<number[]> {
  const samples: number[] = [];
  for (let i = 0; i < 5; i++) {
    samples.push(await timed(async () => execFileSync(process.execPath, ["-e", "0"])));
  }
  return samples;
}
