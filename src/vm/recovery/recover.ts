import { closeSync, constants, existsSync, fstatSync, ftruncateSync, openSync } from "node:fs";
import { failpoint } from "../../host/failpoint.ts";
import type { VmFiles } from "../../host/files/filenames.ts";
import { isAlive, signalProcess } from "../../host/process/process-identity.ts";
import { HAS_NO_MACHINE, STEADY } from "../../store/states.ts";
import type { VmRecord } from "../../store/vms.ts";
import { Deadline } from "../../util/deadline.ts";
import { rmSync } from "../../util/files-go.ts";
import { filesOf, type Home, makeRoomToRemove, noteEnd } from "../home.ts";
import { takeDownAtOnce, takeDownEnclosure } from "../isolation/enclosure.ts";
import { explainEnd, killVmm, waitForExit } from "../machine/vmm-process.ts";
import { noteStep } from "./step.ts";

/** How long a monitor may take to write down that its VMM has ended. */
const MONITOR_NOTE_MS = 2_000;

/**
 * Brings one record in line with the host: what it says is a hint, what runs is the truth. Does nothing while another
 * living process is changing the sandbox. Returns the record as it is now (state "deleting" if it was removed).
 */
export async function recover(home: Home, record: VmRecord): Promise<VmRecord> {
  if (isAsRecorded(record)) return record;
  const { vms } = home.store;
  if (isForfeit(record) || record.state === "deleting") makeRoomToRemove(home);
  if (vms.tryLock(record.id)) return record; // somebody works on it: its state is on the move
  try {
    return (await recoverLocked(home, record.id)) ?? { ...record, state: "deleting" };
  } finally {
    noteEnd(home, () => vms.unlock(record.id));
  }
}

/** {@link recover} for who holds the sandbox's lock: nobody else works on it, so what is half done was left by the dead. Undefined: it is gone. */
export async function recoverLocked(home: Home, id: string): Promise<VmRecord | undefined> {
  const now = home.store.vms.find(id);
  if (!now || isAsRecorded(now)) return now;
  const halfMade = now.pending.includes("create:files");
  if (!isForfeit(now) && !halfMade && now.state !== "deleting") return await settle(home, now);
  await discard(home, now);
  return undefined;
}

/** Nothing is to be done about it: what the record says is so. */
function isAsRecorded(record: VmRecord): boolean {
  if (isForfeit(record)) return false;
  if (record.pending.length > 0) return false;
  if (STEADY.has(record.state)) return record.vmm !== undefined && isAlive(record.vmm);
  return HAS_NO_MACHINE.has(record.state);
}

/** The process that it was to die with is gone, or its time to live is over. */
function isForfeit({ owner, expiresAt }: VmRecord): boolean {
  return (owner !== undefined && !isAlive(owner)) || (expiresAt !== undefined && expiresAt <= Date.now());
}

/** A machine that ended on its own, or whose starter or stopper died in the middle. */
async function settle(home: Home, record: VmRecord): Promise<VmRecord> {
  const { vms, leases } = home.store;
  const alive = record.vmm !== undefined && isAlive(record.vmm);
  switch (record.state) {
    case "running":
    case "paused": {
      if (alive) {
        const { letGoOn } = await import("../machine/go-on.ts");
        await letGoOn(home, record);
        return vms.settle(record.id);
      }
      leases.clear(record.id);
      // A monitor waits for all that is around the VMM, which may hang.
      if (record.vmm && !(await waitForExit(record.vmm, MONITOR_NOTE_MS))) await killVmm(record.vmm);
      await takeDownEnclosure(home, record.id);
      const end = explainEnd(filesOf(home, record.id));
      if (end.kind === "stopped") return vms.transition(record.id, "stopped", { vmm: null });
      return vms.transition(record.id, "error", {
        vmm: null,
        error: { code: "AGENT_LOST", message: `sandbox '${record.name}' crashed: ${end.message}` },
      });
    }
    case "starting":
      await endMachine(home, record);
      return vms.transition(record.id, "error", {
        vmm: null,
        error: {
          code: "BOOT_FAILED",
          message: `the process that was starting sandbox '${record.name}' died`,
        },
      });
    case "stopping":
      // Goes on with it in order: what the guest has not yet written to its disk is not lost.
      if (alive) {
        const { bringDown } = await import("../machine/bring-down.ts"); // every command recovers, few have this to do
        await bringDown(home, record, Deadline.of(`stopping sandbox '${record.name}'`, {}));
      }
      await takeDownEnclosure(home, record.id);
      leases.clear(record.id);
      return vms.transition(record.id, "stopped", { vmm: null });
    default:
      return record;
  }
}

/** The first of {@link discard}: its machine is dying. Whoever looks at it next does the rest. */
export function beginToDiscard(home: Home, record: VmRecord): void {
  const kill = (): void => {
    if (record.vmm) signalProcess(record.vmm, "SIGKILL");
  };
  // What dies with this process is removed by whoever finds it, so that its end need not wait for what is written down.
  if (record.owner?.pid === process.pid) kill();
  home.store.vms.transition(record.id, "deleting");
  noteStep(home, record.id, "delete:machine");
  kill();
}

/** Removes a sandbox with everything that it has on the host. The record goes last: it is what the rest is found by. */
export async function discard(home: Home, record: VmRecord): Promise<void> {
  beginToDiscard(home, record);
  const files = filesOf(home, record.id);
  freeDisk(files.upper);
  if (record.vmm && !existsSync(files.mounts)) removeWhileDying(files);
  await endMachine(home, record);
  noteStep(home, record.id, "delete:files");
  removeFiles(files);
  failpoint("before removed");
  home.store.vms.remove(record.id);
}

function removeFiles({ runtimeDir, dir }: VmFiles): void {
  rmSync(runtimeDir, { recursive: true, force: true });
  rmSync(dir, { recursive: true, force: true });
}

/** While a machine dies there is nothing else to do, and nobody will ask its monitor how it ended. A server of host directories is told by them to end. */
function removeWhileDying(files: VmFiles): void {
  if (process.platform !== "linux") return;
  try {
    removeFiles(files);
  } catch {
    // The monitor has just written something there: it goes when that has ended.
  }
}

/** What is freed while others wait for this process, in bytes: it takes some ms at most. */
const FREED_HERE_MAX = 4 * 1024 * 1024;

/**
 * Removes a disk whose machine is dying. Left to that, what has it mounted would free it as the last thing that it does, and be waited for: of a file system
 * that discards what is freed, a tenth of a ms for each piece of the file. Elsewhere than on Linux what is open cannot be removed.
 */
function freeDisk(path: string): void {
  if (process.platform !== "linux") return;
  try {
    const fd = openSync(path, constants.O_RDWR | constants.O_NOFOLLOW);
    const { nlink, blocks } = fstatSync(fd);
    if (nlink === 1 && blocks * 512 <= FREED_HERE_MAX) ftruncateSync(fd, 0);
    closeSync(fd);
    rmSync(path, { force: true });
  } catch {
    // It goes with its directory.
  }
}

/** Kills a sandbox's machine, the one in its record or one that is not noted there yet, and takes down what was around it. */
export async function endMachine(home: Home, record: VmRecord): Promise<void> {
  if (record.vmm) await killVmm(record.vmm);
  else if (record.pending.includes("start:launch")) {
    const { killOrphans } = await import("./orphans.ts");
    await killOrphans(filesOf(home, record.id));
  }
  await takeDownEnclosure(home, record.id);
}

/**
 * {@link discard} for a process that is exiting: nothing may be waited for, so the VMM may still be dying after it. Where that leaves
 * something on the host the record stays: its owner is gone then, and the next command does the rest.
 */
export function discardNow(home: Home, id: string): void {
  const { vms } = home.store;
  const holder = vms.tryLock(id);
  // Who works on it finds that its owner is gone; its machine dies with this process.
  if (holder && holder.pid !== process.pid) return;
  const record = vms.find(id);
  if (!record) return;
  if (record.vmm) {
    // The monitor first: it must not write into a directory that is being removed. The VMM dies with it.
    signalProcess(record.vmm.monitor, "SIGKILL");
    signalProcess(record.vmm, "SIGKILL");
  }
  removeFiles(filesOf(home, id));
  if (takeDownAtOnce(home, id)) vms.remove(id);
}

/** Reconciles all sandboxes of the home. */
export async function recoverAll(home: Home): Promise<void> {
  for (const record of home.store.vms.unsettled(Date.now())) await recover(home, record);
}
