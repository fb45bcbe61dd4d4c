import { readFileSync } from "node:fs";
import { isLockHeld, ownLock } from "./process-lock.ts";
import { psStartTime } from "./ps-start-time.ts";

/** What names a process for good: a pid alone is reused. */
export interface ProcessIdentity {
  readonly pid: number;
  /**
   * Linux: start time in clock ticks since boot (proc(5), field 22). Windows: the file that it holds for as long as it runs
   * (process-lock.ts), of processes of ours. macOS: as ps says it. "": unknown
   */
  readonly startTime: string;
  /** the host kernel's boot id; elsewhere "" */
  readonly bootId: string;
}

/** A virtual machine monitor's process, and the process that watches it and writes down how it ended. */
export interface VmmIdentity extends ProcessIdentity {
  readonly monitor: ProcessIdentity;
}

let cachedBootId: string | undefined;

/** The host kernel's boot id, or "" where there is none. */
export function hostBootId(): string {
  cachedBootId ??= process.platform === "linux" ? readBootId() : "";
  return cachedBootId;
}

function readBootId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim();
  } catch {
    return ""; // no /proc in here
  }
}

/**
 * The fields of /proc/PID/stat (proc(5)) from the third on, the state. The command name (field 2) may hold spaces and
 * parentheses: what is wanted starts after the last ')'. Pure.
 */
export function statFields(stat: string): string[] {
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}

/** State letter and start time of a process from /proc/PID/stat, or undefined if there is none. */
function procStat(pid: number): { state: string; startTime: string } | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  } catch {
    return undefined;
  }
  const fields = statFields(stat);
  return { state: fields[0] ?? "", startTime: fields[19] ?? "" };
}

/**
 * The identity of a running process.
 * @param lock Windows: the file that it holds, where that is not this process (whose own file is known)
 */
export function identify(pid: number, lock?: string): ProcessIdentity {
  if (process.platform === "win32")
    return { pid, startTime: lock ?? (pid === process.pid ? ownLock() : ""), bootId: "" };
  if (process.platform !== "linux") return { pid, startTime: psStartTime(pid), bootId: "" };
  return { pid, startTime: procStat(pid)?.startTime ?? "", bootId: hostBootId() };
}

/** True if exactly that process still runs (a zombie does not). */
export function isAlive(identity: ProcessIdentity): boolean {
  if (identity.pid <= 0 || identity.bootId !== hostBootId()) return false;
  if (identity.bootId !== "") {
    const stat = procStat(identity.pid);
    return stat !== undefined && stat.startTime === identity.startTime && !"ZX".includes(stat.state);
  }
  if (process.platform === "win32" && identity.startTime !== "") return isLockHeld(identity.startTime);
  if (!answers(identity.pid)) return false;
  if (process.platform === "linux" || identity.startTime === "") return true;
  const now = psStartTime(identity.pid);
  return now === "" || now === identity.startTime;
}

/** Whether there is a process of that number. */
function answers(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Sends a signal if exactly that process still runs. Returns whether it was sent. */
export function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): boolean {
  if (!isAlive(identity)) return false;
  try {
    process.kill(identity.pid, signal);
    return true;
  } catch {
    return false; // it ended in between
  }
}
