import { readFileSync } from "node:fs";
import { stat } from "node:fs/promises";
import { isAlive, type ProcessIdentity, statFields } from "./process-identity.ts";

/** What a process uses. On hosts without /proc everything is absent. */
export interface ProcessUsage {
  /** memory that is its own, plus its share of what it shares ("pss"); or all that it has mapped and is in memory ("rss") */
  readonly memoryBytes: number | undefined;
  readonly memoryKind: "pss" | "rss" | undefined;
  /** CPU time in user and kernel mode, all threads, since it was started; guest code included */
  readonly cpuTimeMs: number | undefined;
}

const NOTHING: ProcessUsage = { memoryBytes: undefined, memoryKind: undefined, cpuTimeMs: undefined };

/** USER_HZ: the unit of times in /proc/PID/stat is 1/100 s on every Linux (time(7)). */
const MS_PER_TICK = 10;
/** The unit of st_blocks (stat(2)), whatever the file system's own block size. */
const BLOCK_BYTES = 512;

/** What exactly that process uses now; everything is absent if it has ended. */
export function processUsage(identity: ProcessIdentity): ProcessUsage {
  if (process.platform !== "linux") return NOTHING;
  const of = (name: string): string => readProc(identity.pid, name);
  const pss = parseKib(of("smaps_rollup"), "Pss"); // not readable for another user's process
  const rss = pss === undefined ? parseKib(of("status"), "VmRSS") : undefined;
  const cpuTimeMs = parseCpuTimeMs(of("stat"));
  // Asked last: another process may have got the number while we read.
  if (!isAlive(identity)) return NOTHING;
  const memoryKind = pss !== undefined ? "pss" : rss !== undefined ? "rss" : undefined;
  return { memoryBytes: pss ?? rss, memoryKind, cpuTimeMs };
}

/** The room that a file takes on the host's disk, which for a sparse one is less than its size; undefined if there is none. */
export async function allocatedBytes(path: string): Promise<number | undefined> {
  if (process.platform === "win32") return undefined; // no blocks are counted there
  try {
    return (await stat(path)).blocks * BLOCK_BYTES;
  } catch {
    return undefined; // not made yet, or removed
  }
}

/** The bytes of a `Name:   123 kB` line of smaps_rollup or status (proc(5)). Pure. */
export function parseKib(text: string, name: string): number | undefined {
  const found = new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(text);
  return found ? Number(found[1]) * 1024 : undefined;
}

/** utime + stime of /proc/PID/stat (proc(5), fields 14 and 15), in ms. Pure. */
export function parseCpuTimeMs(text: string): number | undefined {
  const fields = statFields(text);
  const ticks = Number(fields[11]) + Number(fields[12]);
  return Number.isFinite(ticks) ? ticks * MS_PER_TICK : undefined;
}

function readProc(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, "latin1");
  } catch {
    return ""; // no such process, not ours, or no /proc
  }
}
