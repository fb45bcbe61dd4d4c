/**
 * Measures rows of the performance goals against a floor in the same run, interleaved.
 *
 *   npm run bench -- --rows 1,3,6,7,8,9,11 [--n 10] [--runs 300] [--mib 256] [--bare] [--backend qemu|firecracker]
 *                    [--kernel fast|debian] [--arch ARCH] [--accelerator NAME] [--json] [--out FILE]
 *
 * --n: rounds of samples, --runs: of warm commands; --mib: size of a transfer; --bare: sandboxes with nothing around their VMM
 * as well. Row 10 is rows 1 and 3 on Firecracker. In the lab: bench/lab.sh. Prints a table for people, or with --json one object per row; raw samples go to FILE (default bench/results/DATE.json).
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import type { Target } from "./machine.ts";
import { cliStart } from "./rows/cli-start.ts";
import { coldCreate } from "./rows/cold-create.ts";
import { firecracker } from "./rows/firecracker.ts";
import { growth } from "./rows/growth.ts";
import { memory } from "./rows/memory.ts";
import { rate } from "./rows/rate.ts";
import { throughput } from "./rows/throughput.ts";
import { warmRun } from "./rows/warm-run.ts";
import type { Setting } from "./setting.ts";
import { type Measurement, percentile, timed } from "./stats.ts";

const ROWS: Record<string, (setting: Setting) => Promise<Measurement[]>> = {
  "1": coldCreate,
  "3": warmRun,
  "6": throughput,
  "7": memory,
  "8": cliStart,
  "9": growth,
  "10": firecracker,
  "11": rate,
};

const CREATE_TIMEOUT_MS = 300_000;

const { values } = parseArgs({
  options: {
    rows: { type: "string", default: "1,3,6,7,8,9,11" },
    n: { type: "string" },
    runs: { type: "string", default: "300" },
    mib: { type: "string", default: "256" },
    bare: { type: "boolean", default: false },
    backend: { type: "string", default: "qemu" },
    arch: { type: "string" },
    kernel: { type: "string" },
    accelerator: { type: "string" },
    json: { type: "boolean", default: false },
    out: { type: "string" },
  },
});

const { backend, arch, kernel, accelerator } = values;
const given = Object.entries({ backend, arch, kernel, accelerator }).filter(
  ([, value]) => value !== undefined,
);
// Checked where sandboxes are made.
const target = { ...Object.fromEntries(given), network: "off", timeoutMs: CREATE_TIMEOUT_MS } as Target;
const setting: Setting = {
  target,
  n: values.n === undefined ? undefined : Number(values.n),
  runs: Number(values.runs),
  bare: values.bare,
  mib: Number(values.mib),
};
const rows = values.rows.split(",");
const unknown = rows.find((row) => !(row in ROWS));
if (unknown !== undefined) {
  console.error(`error: there is no row ${unknown}; rows: ${Object.keys(ROWS).join(", ")}`);
  process.exit(2);
}

// A home of its own, so that nothing of the user's is touched; images come from the user's cache.
const home = mkdtempSync(join(tmpdir(), "smb-"));
process.env.XDG_DATA_HOME = join(home, "data");
process.env.XDG_RUNTIME_DIR = join(home, "run");
mkdirSync(process.env.XDG_RUNTIME_DIR, { mode: 0o700 });

// What this machine's speed is today.
const nodeStartMs = percentile(await nodeStarts(), 0.5);
console.error(`node -e 0: ${nodeStartMs.toFixed(0)} ms`);

const out =
  values.out ?? join(import.meta.dirname, "results", `${new Date().toISOString().replaceAll(":", "-")}.json`);
mkdirSync(dirname(out), { recursive: true });
const machine = {
  nodeStartMs,
  cpu: cpus()[0]?.model,
  cores: cpus().length,
  node: process.version,
  platform: process.platform,
};
const measured: Measurement[] = [];
try {
  for (const row of rows) {
    for (const measurement of await ROWS[row]!(setting)) {
      measured.push(measurement);
      const { name, unit, ours, floor, ratio, p95, p99, n, goal, met } = measurement.row;
      if (values.json) console.log(JSON.stringify(measurement.row));
      else {
        const [a, b, c, d] = [ours, floor, p95, p99].map((value) => value.toFixed(1));
        console.log(`${row}  ${name}: ${a} ${unit}, floor ${b}, ratio ${ratio.toFixed(3)}`);
        console.log(`   p95 ${c}, p99 ${d}, n ${n}; goal ${goal}: ${met ? "met" : "NOT met"}`);
      }
    }
    // Row by row: what was measured stays, should the time end here.
    writeFileSync(out, JSON.stringify({ machine, target, measured }, undefined, 1));
  }
} finally {
  rmSync(home, { recursive: true, force: true });
}

console.error(`raw samples: ${out}`);

async function nodeStarts(): Promise<number[]> {
  const samples: number[] = [];
  for (let i = 0; i < 5; i++) {
    samples.push(await timed(async () => execFileSync(process.execPath, ["-e", "0"])));
  }
  return samples;
}
