import { rmSync } from "node:fs";
import { join } from "node:path";
import { cgroupsOf, removeCgroup } from "../host/cgroup.ts";
import { homeHash } from "../host/paths.ts";
import { filesOf, type Home } from "./home.ts";

/** Takes away what was around a machine that has ended. The uid stays the sandbox's: its disk belongs to that. */
export async function takeDownEnclosure(home: Home, id: string): Promise<void> {
  takeDownAtOnce(home, id);
  const uid = home.store.uids.of(id);
  if (uid === undefined || !home.store.taps.byVm().has(id)) return;
  const { takeBackTaps } = await import("./tap-owner.ts"); // every command recovers, few have this to do
  await takeBackTaps(uid);
}

/** {@link takeDownEnclosure} without what is waited for: its tap stays given to it until `gc`, or until the next machine has it. */
export function takeDownAtOnce(home: Home, id: string): void {
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
