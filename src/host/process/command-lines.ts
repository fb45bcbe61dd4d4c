import { readdirSync, readFileSync } from "node:fs";

/** A process, and what it was started with. */
export interface CommandLine {
  readonly pid: number;
  readonly args: readonly string[];
}

/** All processes of this machine that we can see, by /proc: Linux. */
export function procCommandLines(): CommandLine[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        return [{ pid: Number(name), args: readFileSync(`/proc/${name}/cmdline`, "utf8").split("\0") }];
      } catch {
        return []; // it ended while we looked
      }
    });
}
