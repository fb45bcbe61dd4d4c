import { existsSync, lstatSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { homeHash } from "../../src/host/files/paths.ts";
import { cgroupsOf, listCgroups } from "../../src/host/linux/cgroup.ts";
import { tapsOf } from "../../src/host/linux/taps.ts";
import { isVmmUid } from "../../src/host/linux/vmm-uids.ts";
import { leftovers } from "./home.ts";
import { storeFile, storeRows } from "./store-file.ts";

/**
 * How much of each kind a home's sandboxes have on this machine: their names differ from run to run. What belongs to nobody is
 * counted on its own, and is none on a machine on which nothing was left behind.
 * @param home directory of the test's home (useTempHome)
 */
export function traces(home: string): Record<string, number> {
  const data = join(home, "data", "smolvm");
  const { directories, sockets, processes } = leftovers(home);
  const uids = new Set(rows(home, "SELECT uid AS value FROM uid_leases").map(Number));
  const leasedTaps = new Set(rows(home, "SELECT tap AS value FROM tap_leases").map(String));
  const givenTaps = tapsOf(0).filter(({ uid }) => isVmmUid(uid));
  return {
    directories: directories.length,
    sockets: sockets.length,
    processes: processes.length,
    connectors: connectors(home),
    mounts: readFileSync("/proc/self/mountinfo", "utf8")
      .split("\n")
      .filter((line) => line.includes(home)).length,
    cgroups: listCgroups(cgroupsOf(homeHash(data))).length,
    jails: directories.filter((id) => existsSync(join(data, "vms", id, "jail"))).length,
    uids: uids.size,
    "files of a uid that no sandbox has": owners(home).filter((uid) => isVmmUid(uid) && !uids.has(uid))
      .length,
    taps: leasedTaps.size,
    "taps of a VMM": givenTaps.length,
    "taps of a VMM without a lease": givenTaps.filter(({ name }) => !leasedTaps.has(name)).length,
  };
}

/** Processes that connect networks of this home's machines, or of nobody's: their own command lines name neither. */
function connectors(home: string): number {
  return readdirSync("/proc").filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
      if (!/\((pasta|passt)[^)]*\) [^Z]/.test(stat)) return false;
      const parent = stat.slice(stat.lastIndexOf(")")).split(" ")[2];
      return parent === "1" || readFileSync(`/proc/${parent}/cmdline`, "utf8").includes(home);
    } catch {
      return false; // it ended while we looked
    }
  }).length;
}

function rows(home: string, query: string): unknown[] {
  if (!existsSync(storeFile(home))) return []; // no command was typed yet
  return storeRows(home, query).map(({ value }) => value);
}

/** Whose the files of a directory are, one by one. */
function owners(directory: string): number[] {
  return readdirSync(directory, { recursive: true, encoding: "utf8" }).flatMap((name) => {
    const { uid } = lstatSync(join(directory, name), { throwIfNoEntry: false }) ?? {};
    return uid ?? [];
  });
}
