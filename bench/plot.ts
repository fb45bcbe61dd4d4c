/** Draws the raw samples of a measurement: npm run bench:plot -- --help */
import { readFileSync, writeFileSync } from "node:fs";
import { type ProgramSpec, program } from "../scripts/program.ts";
import { renderPlot } from "./plot-svg.ts";
import type { Measurement } from "./stats.ts";

const PLOT: ProgramSpec = {
  invocation: "npm run bench:plot --",
  summary: "Draw the raw samples that npm run bench has kept.",
  usage: "[OPTIONS] SAMPLES FILE.svg",
  operands: { min: 2, max: 2, what: "the samples, and the file that is written," },
  options: [{ name: "rows", value: "ROWS", help: "which, with commas between them (default: all)" }],
  exit: "plain",
  notes: [],
  examples: ["npm run bench:plot -- --rows 2,4,5 bench/results/DATE.json docs/forks.svg"],
} as ProgramSpec;

await program(PLOT, async (args) => {
  const [from, to] = args.operands as [string, string];
  const { measured, machine } = JSON.parse(readFileSync(from, "utf8")) as {
    measured: Measurement[];
    machine: { cpu: string; cores: number; nodeStartMs: number; load: number };
  };
  const rows = args.value("rows")?.split(",");
  const wanted = measured.filter(({ row }) => rows === undefined || rows.includes(row.row));
  const note = `${machine.cpu}, ${machine.cores} cores, node -e 0: ${machine.nodeStartMs.toFixed(0)} ms, load ${machine.load.toFixed(1)}`;
  writeFileSync(to, renderPlot(wanted, note));
  return undefined;
});
