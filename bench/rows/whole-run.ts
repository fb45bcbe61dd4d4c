import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { SmolVM } from "../../src/index.ts";
import { builtCli } from "../built-cli.ts";
import type { Setting } from "../setting.ts";
import { checkOutput, interleave, type Measurement, timed, toRow } from "../stats.ts";

const run = promisify(execFile);

/** Row 3b: `smolvm run -- echo hi` as a whole process, from a template, against `node -e 0`. Needs `npm run build`. */
export async function wholeRun({ target, n = 30 }: Setting): Promise<Measurement[]> {
  const cli = builtCli();
  const { timeoutMs, ...options } = target;
  await SmolVM.warm({ ...options, template: "auto", timeoutMs });
  const flags = Object.entries({ backend: target.backend, arch: target.arch, kernel: target.kernel })
    .filter(([, value]) => value !== undefined)
    .flatMap(([name, value]) => [`--${name}`, String(value)]);
  const words = [
    "run",
    "--quiet",
    "--template",
    "auto",
    "--network",
    target.network,
    ...flags,
    "--",
    "echo",
    "hi",
  ];
  const samples = await interleave(n, {
    ours: () => timed(async () => checkOutput((await run(process.execPath, [cli, ...words])).stdout, "hi\n")),
    floor: () => timed(() => run(process.execPath, ["-e", "0"])),
  });
  const what = {
    row: "3b",
    name: "smolvm run -- echo hi, from a template",
    unit: "ms",
    goal: "<= 5 x node -e 0",
  } as const;
  return [{ samples, row: toRow(what, samples, ({ ratio }) => ratio <= 5) }];
}
