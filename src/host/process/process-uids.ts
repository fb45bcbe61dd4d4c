import { readdirSync, readFileSync } from "node:fs";

/** Whether a process of this machine has a uid (real, effective, saved or the file system's) of which that is true. Looks at each: not for every start. */
export function someProcessHas(isMeant: (uid: number) => boolean): boolean {
  return readdirSync("/proc").some((name) => {
    if (!/^\d+$/.test(name)) return false;
    try {
      // proc_pid_status(5)
      const uids = /^Uid:\s(.*)$/m.exec(readFileSync(`/proc/${name}/status`, "utf8"))?.[1] ?? "";
      return uids.split("\t").some((uid) => isMeant(Number(uid)));
    } catch {
      return false; // it ended while we looked
    }
  });
}
