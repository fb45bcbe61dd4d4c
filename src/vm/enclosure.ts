import { rmSync } from "node:fs";
import { join } from "node:path";
import { cgroupsOf, removeCgroup } from "../host/cgroup.ts";
import { homeHash } from "../host/paths.ts";
import { filesOf, type Home } from "./home.ts";

/** Takes away what was around a machine that has ended. The uid stays the sandbox's: its disk belongs to that. */
export function takeDownEnclosure(home: Home, id: string): void {
  if (process.platform !== "linux") return;
  removeCgroup(cgroupOf(home, id));
  rmSync(filesOf(home, id).jail, { recursive: true, force: true });
}

/** The directory of the cgroups of a home's machines. */
export function cgroupsOfHome(home: Home): string {
  return cgroupsOf(homeHash(home.paths.dataDir));
}

/** The directory of the cgroup of one of them. */
export function cgroupOf(home: Home, id: string): string {
  return join(cgroupsOfHome(home), id);
}
