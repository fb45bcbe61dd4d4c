import { readdirSync } from "node:fs";
import { join } from "node:path";
import { runProgram } from "../../src/host/process/run.ts";
import { Deadline } from "../../src/util/deadline.ts";
import { scaled } from "./speed.ts";

/** What a look from inside gave. */
interface Look {
  readonly code: number | undefined;
  readonly said: string;
}

/** Runs a shell script where a VMM is and as what it is: inside.py says how. */
export async function inside(pid: number, script: string): Promise<Look> {
  const deadline = Deadline.of("a look from inside", { timeoutMs: scaled(20_000) });
  const argv = ["python3", join(import.meta.dirname, "inside.py"), String(pid), "/bin/busybox", script];
  const { code, stdout, stderr } = await runProgram(argv, { deadline, check: false });
  return { code, said: stdout + stderr };
}

/** What belongs to the system, or is made for the process. */
const SYSTEM = ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "dev", "proc", "etc/alternatives"];

/** The files and sockets that a process sees, but for the system's. */
export function filesSeenBy(pid: number): string[] {
  const root = `/proc/${pid}/root`;
  const skipped = new Set(SYSTEM.map((path) => `/${path}`));
  const walk = (path: string): string[] =>
    readdirSync(`${root}${path}`, { withFileTypes: true }).flatMap((entry) => {
      const below = `${path === "/" ? "" : path}/${entry.name}`;
      if (skipped.has(below)) return [];
      return entry.isDirectory() ? walk(below) : [below];
    });
  return walk("/").sort();
}
