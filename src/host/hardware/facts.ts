import { readFileSync } from "node:fs";
import { cpus } from "node:os";
import type { Arch } from "../../config/spec.ts";
import { Deadline } from "../../util/deadline.ts";
import { cachedJson } from "../files/cached-json.ts";
import { ARCH_NAMES, nativeProgram } from "../package.ts";
import { runProgram } from "../process/run.ts";
import { bootStamp } from "./boot-stamp.ts";

/** This host's architecture in our names, or undefined for one that smolvm does not know. */
export function hostArch(arch: string = process.arch): Arch | undefined {
  return ARCH_NAMES[arch];
}

const TSC_TIMEOUT_MS = 5_000;

/**
 * The frequency of this host's time stamp counter in kHz, or undefined where it is not known (not x86-64).
 * Measured once per boot by the monitor program, where there is one, and kept in `cacheDir`.
 *
 * Guests under emulation need it: their TSC is the host's counter, and on a busy host they fail to calibrate it against
 * the emulated timer and then wait for ever (`tsc_early_khz`, linux/Documentation/admin-guide/kernel-parameters.txt).
 */
export async function tscKhz(cacheDir: string): Promise<number | undefined> {
  if (process.arch !== "x64") return undefined;
  const accept = (value: unknown): value is number => typeof value === "number" && plausible(value);
  try {
    return await cachedJson(`${cacheDir}/tsc.json`, bootStamp(), accept, measureTsc);
  } catch {
    return undefined; // the guest then calibrates by itself, as on any other machine
  }
}

async function measureTsc(): Promise<number> {
  const monitor = nativeProgram("monitor");
  const deadline = Deadline.within(TSC_TIMEOUT_MS, "measuring the host's TSC");
  if (monitor !== undefined) {
    const khz = Number((await runProgram([monitor, "tsc"], { deadline })).stdout.trim());
    if (plausible(khz)) return khz;
  }
  const guess = await tscGuess(deadline);
  if (guess === undefined || !plausible(guess)) throw new Error("unknown");
  return guess;
}

/** What the system says of it. */
async function tscGuess(deadline: Deadline): Promise<number | undefined> {
  switch (process.platform) {
    case "linux":
      return tscKhzFromCpuinfo(readFileSync("/proc/cpuinfo", "utf8"));
    case "darwin": {
      const argv = ["/usr/sbin/sysctl", "-n", "machdep.tsc.frequency"]; // Hz, on Macs with an Intel processor
      return Math.round(Number((await runProgram(argv, { deadline })).stdout.trim()) / 1_000);
    }
    default:
      return (cpus()[0]?.speed ?? 0) * 1_000; // Windows: ~MHz of the registry, which it measured when it started
  }
}

function plausible(khz: number): boolean {
  return Number.isFinite(khz) && khz >= 100_000 && khz <= 10_000_000;
}

/**
 * An estimate from /proc/cpuinfo where nothing can measure: the frequency in an Intel model name is the TSC's; inside a
 * virtual machine `cpu MHz` is (on bare metal that one moves with the load). 10 % off still boots. Pure.
 */
export function tscKhzFromCpuinfo(cpuinfo: string): number | undefined {
  const field = (name: string): string =>
    new RegExp(`^${name}\\s*:\\s*(.*)$`, "m").exec(cpuinfo)?.[1]?.trim() ?? "";
  const ghz = /@\s*([\d.]+)\s*GHz/.exec(field("model name"))?.[1];
  if (ghz !== undefined) return Math.round(Number(ghz) * 1_000_000);
  if (!/\bhypervisor\b/.test(field("flags"))) return undefined;
  const khz = Math.round(Number(field("cpu MHz")) * 1_000);
  return plausible(khz) ? khz : undefined;
}
