import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { Arch } from "../../src/config/spec.ts";
import { processPaths } from "../../src/host/files/paths.ts";
import { hostArch } from "../../src/host/hardware/facts.ts";
import { isOwnQemu } from "../../src/host/own-qemu/place.ts";
import { builtQemu, installedQemu } from "../../src/host/own-qemu/which.ts";
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
  const measured = (name: string, ours: readonly number[], most: number): Measurement => {
    const samples = { ours, floor };
    const what = { row: "3b", name, unit: "ms", goal: `<= ${most} x node -e 0` } as const;
    return { samples, row: toRow(what, samples, ({ ratio }) => ratio <= most) };
  };
  const most = runsOnOurs(target.arch ?? hostArch() ?? "x86_64") ? 3.5 : 5;
  return [
    measured("smolvm run -- echo hi, from a template", off, most),
    measured("smolvm run -- echo hi, with a network", open, 5),
  ];
}

/** Whether sandboxes run on a QEMU of ours, which keeps what it has translated. */
function runsOnOurs(arch: Arch): boolean {
  const named = process.env.SMOLVM_QEMU;
  return named ? isOwnQemu(named) : (builtQemu(processPaths(), arch) ?? installedQemu(arch)) !== undefined;
}
