import { readFileSync, writeFileSync } from "node:fs";
import { renameSync } from "../../util/files-go.ts";

/** What a monitor says of itself where it cannot be told by its command line (Windows). The native one writes the same (monitor/src/windows/run.rs). */
export interface MonitorNote {
  readonly pid: number;
  /** the file into which it will write how its program ended */
  readonly exit: string;
}

/** The file beside a monitor's lock that says who holds it. Pure. */
function notePath(lock: string): string {
  return lock.replace(/\.lock$/, ".json");
}

export function noteMonitor(lock: string, note: MonitorNote): void {
  const path = notePath(lock);
  writeFileSync(`${path}.tmp`, JSON.stringify(note), { mode: 0o600 });
  renameSync(`${path}.tmp`, path);
}

/** Undefined: there is none, or it is none. */
export function readMonitorNote(lock: string): MonitorNote | undefined {
  try {
    const { pid, exit } = JSON.parse(readFileSync(notePath(lock), "utf8")) as Partial<MonitorNote>;
    return Number.isInteger(pid) && typeof exit === "string" ? { pid: pid as number, exit } : undefined;
  } catch {
    return undefined;
  }
}
