import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { SmolVM } from "../../src/index.ts";
import { builtCli } from "../built-cli.ts";
import type { Setting } from "../setting.ts";
import { checkOutput, interleave, type Measurement, timed, toRow } from "../stats.ts";

const run = promisify(execFile);

/**
 * Row 3b: `smolvm run -- echo hi` as a whole process, from a template, without a network and with one, against `node -e 0`. Needs
 * `npm run build`.
 */
export async function wholeRun({ target, n = 30 }: Setting): Promise<Measurement[]> {
  const cli = builtCli();
  const { timeoutMs, network, ...options } = target;
  for (const mode of [network, "open"] as const)
    await SmolVM.warm({ ...options, network: mode, template: "auto", timeoutMs });
  const flags = Object.entries({ backend: target.backend, arch: target.arch, kernel: target.kernel })
    .filter(([, value]) => value !== undefined)
    .flatMap(([name, value]) => [`--${name}`, String(value)]);
  const whole = (mode: string): Promise<number> => {
    const words = ["run", "--quiet", "--template", "auto", "--network", mode, ...flags, "--", "echo", "hi"];
    return timed(async () => checkOutput((await run(process.execPath, [cli, ...words])).stdout, "hi\n"));
  };
  const { off, open, floor } = await interleave(n, {
    off: () => whole(network),
    open: () => whole("open"),
    floor: () => timed(() => run(process.execPath, ["-e", "0"])),
  });
  const measured = (name: string, ours: readonly number[]): Measurement => {
    const samples = { ours, floor };
    const what = { row: "3b", name, unit: "ms", goal: "<= 5 x node -e 0" } as const;
    return { samples, row: toRow(what, samples, ({ ratio }) => ratio <= 5) };
  };
  return [
    measured("smolvm run -- echo hi, from a template", off),
    measured("smolvm run -- echo hi, with a network", open),
  ];
}
