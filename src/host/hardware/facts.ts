import { readFileSync } from "node:fs";
import type { Arch } from "../../config/spec.ts";
import { Deadline } from "../../util/deadline.ts";
import { cachedJson } from "../files/cached-json.ts";
import { ARCH_NAMES, nativeProgram } from "../package.ts";
import { hostBootId } from "../process/process-identity.ts";
import { runProgram } from "../process/run.ts";

/** This host's architecture in our names, or undefined for one that smolvm does not know. */
export function hostArch(arch: string = process.arch): Arch | undefined {
  return ARCH_NAMES[arch];
}

const TSC_TIMEOUT_MS = 5_000;

/**
 * The frequency of this host's time stamp counter in kHz, or undefined where it is not known (not x86-64, not Linux).
 * Measured once per boot by the monitor program and kept in `cacheDir`.
 *
 * Guests under emulation need it: their TSC is the host's counter, and on a busy host they fail to calibrate it against
 * the emulated timer and then wait for ever (`tsc_early_khz`, linux/Documentation/admin-guide/kernel-parameters.txt).
 */
export async function tscKhz(cacheDir: string): Promise<number | undefined> {
  if (process.platform !== "linux" || process.arch !== "x64") return undefined;
  const bootId = hostBootId();
  if (bootId === "") return undefined;
  const accept = (value: unknown): value is number => typeof value === "number" && plausible(value);
  try {
    return await cachedJson(`${cacheDir}/tsc.json`, bootId, accept, measureTsc);
  } catch {
    return undefined; // the guest then calibrates by itself, as on any other machine
  }
}

async function measureTsc(): Promise<number> {
  const monitor = nativeProgram("monitor");
  if (monitor !== undefined) {
    const deadline = Deadline.within(TSC_TIMEOUT_MS, "measuring the host's TSC");
    const khz = Number((await runProgram([monitor, "tsc"], { deadline })).stdout.trim());
    if (plausible(khz)) return khz;
  }
  const guess = tscKhzFromCpuinfo(readFileSync("/proc/cpuinfo", "utf8"));
  if (guess === undefined) throw new Error("unknown");
  return guess;
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
