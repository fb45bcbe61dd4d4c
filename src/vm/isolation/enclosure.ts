import { existsSync } from "node:fs";
import { join } from "node:path";
import { homeHash } from "../../host/files/paths.ts";
import { cgroupsOf, endCgroup, removeCgroup } from "../../host/linux/cgroup.ts";
import type { Scope } from "../../host/systemd/scope.ts";
import type { VmRecord } from "../../store/vms.ts";
import { Deadline } from "../../util/deadline.ts";
import { rmSync } from "../../util/files-go.ts";
import { filesOf, type Home } from "../home.ts";

/** How long what is left of a machine may take to end when it is killed. */
export const END_MS = 5_000;

/** Takes away what was around a machine that has ended, and waits for the server of its host directories. The uid stays the sandbox's: its disk belongs to that. */
export async function takeDownEnclosure(home: Home, id: string): Promise<void> {
  if (!takeDownAtOnce(home, id))
    await endCgroup(cgroupOf(home, id), Deadline.within(END_MS, "ending a machine"));
  const files = filesOf(home, id);
  if (existsSync(files.mounts)) {
    const { fileServerEnded } = await import("./file-server-end.ts");
    await fileServerEnded(files);
  }
  const given = givenTap(home, id);
  if (given === undefined) return;
  const { takeBackTap } = await import("./tap-owner.ts"); // every command recovers, few have this to do
  await takeBackTap(given.name, given.uid);
}

/**
 * {@link takeDownEnclosure} without what has to be waited for. Returns whether that was all: the cgroup of what is still dying stays,
 * and a tap stays given to it.
 */
export function takeDownAtOnce(home: Home, id: string): boolean {
  if (process.platform !== "linux") return true;
  rmSync(filesOf(home, id).jail, { recursive: true, force: true });
  return removeCgroup(cgroupOf(home, id)) && givenTap(home, id) === undefined;
}

/** The tap that is given to a sandbox's VMM, which has a uid of its own. */
function givenTap({ store }: Home, id: string): { readonly name: string; readonly uid: number } | undefined {
  const name = store.taps.byVm().get(id);
  const uid = name === undefined ? undefined : store.uids.of(id);
  return name === undefined || uid === undefined ? undefined : { name, uid };
}

/** The directory of the cgroups of a home's machines. */
export function cgroupsOfHome(home: Home): string {
  return cgroupsOf(homeHash(home.paths.dataDir));
}

/** The directory of the cgroup of one of them. */
export function cgroupOf(home: Home, id: string): string {
  return join(cgroupsOfHome(home), id);
}

/** How the scope of a sandbox is called, where systemd makes one for its machine. It goes by itself, so nobody clears it up. */
export function scopeOf(
  home: Home,
  { id, name }: Pick<VmRecord, "id" | "name">,
): Pick<Scope, "name" | "description"> {
  return {
    name: `smolvm-${homeHash(home.paths.dataDir)}-${id}.scope`,
    description: `smolvm sandbox ${name}`,
  };
}
