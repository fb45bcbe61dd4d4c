import { readFileSync } from "node:fs";
import { cpus } from "node:os";

let known: string | undefined;

/**
 * What tells this host's CPU from one that could do other things: its name and, on Linux, its features as the kernel lists them
 * (proc(5), /proc/cpuinfo). Asked once.
 */
export function cpuIdentity(): string {
  known ??= `${cpus()[0]?.model ?? process.arch} ${features()}`;
  return known;
}

function features(): string {
  try {
    return /^(?:flags|Features)\s*:\s*(.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1] ?? "";
  } catch {
    return ""; // not Linux
  }
}
