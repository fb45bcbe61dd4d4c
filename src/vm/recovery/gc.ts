import { existsSync, lstatSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { isVmFile, supervisorFiles } from "../../host/files/filenames.ts";
import { endCgroup, listCgroups } from "../../host/linux/cgroup.ts";
import { runningMonitors } from "../../host/monitor/monitors.ts";
import { removeUnfinished } from "../../images/store/unfinished.ts";
import { MAY_RUN } from "../../store/states.ts";
import { openStore, type Store, storePath } from "../../store/store.ts";
import { Deadline } from "../../util/deadline.ts";
import { rmSync } from "../../util/files-go.ts";
import { filesOf, type Home, workshopPaths } from "../home.ts";
import { cgroupsOfHome, END_MS } from "../isolation/enclosure.ts";
import { takeBackStrayTaps } from "../isolation/tap-owner.ts";
import { killMonitor } from "./orphans.ts";
import { recover } from "./recover.ts";
import { removeStrayMembers } from "./stray-members.ts";
import { removeUnfinishedSnapshots } from "./unfinished-snapshots.ts";
import { removeUnfinishedTemplates } from "./unfinished-templates.ts";

/** Something that a process which died had left behind. */
export interface Garbage {
  readonly kind:
    | "sandbox"
    | "process"
    | "directory"
    | "cgroup"
    | "tap"
    | "lease"
    | "socket"
    | "snapshot"
    | "template"
    | "image";
  /** what it was, in words */
  readonly what: string;
}

/** How long looking at the machine's processes may take. */
const SCAN_MS = 10_000;

/**
 * Brings the home in line with the host and removes everything in it that belongs to nothing: sandboxes whose owner is
 * gone, half made or half removed ones, machines without a sandbox, directories, sockets, leases, unfinished images.
 * What a living process is working on is left alone. Returns what was cleared up.
 * @throws SmolVMError HOST_FAILED, NO_SPACE
 */
export async function collectGarbage(home: Home): Promise<Garbage[]> {
  return [
    ...(await collectMachines(home)),
    ...removeStaleSocket(home),
    ...removeUnfinishedSnapshots(home).map((what): Garbage => ({ kind: "snapshot", what })),
    ...(await collectWorkshop(home)),
    ...(await removeUnfinishedTemplates(home)).map((what): Garbage => ({ kind: "template", what })),
    ...(await removeUnfinished(home.paths)).map((what): Garbage => ({ kind: "image", what })),
  ];
}

/** What sandboxes have on the host. */
async function collectMachines(home: Home): Promise<Garbage[]> {
  return [
    ...(await settleAll(home)),
    ...(await removeStrayMembers(home)).map(
      (what): Garbage => ({ kind: "sandbox", what: `${what}: removed` }),
    ),
    ...(await endStrayMachines(home)),
    ...removeStrayDirectories(home),
    ...(await endStrayCgroups(home)),
    ...(await takeBackStrayTaps(home)).map((what): Garbage => ({ kind: "tap", what })),
    ...pruneLeases(home),
  ];
}

/** The same for machines that templates were to be made of. */
async function collectWorkshop({ paths }: Home): Promise<Garbage[]> {
  const own = workshopPaths(paths);
  if (!existsSync(storePath(own.dataDir))) return [];
  let store: Store;
  try {
    store = openStore(own.dataDir);
  } catch {
    return []; // damaged, or of another version: the next maker clears it away
  }
  try {
    return await collectMachines({ paths: own, store });
  } finally {
    store.close();
  }
}

async function settleAll(home: Home): Promise<Garbage[]> {
  const found: Garbage[] = [];
  for (const before of home.store.vms.all()) {
    await recover(home, before);
    const after = home.store.vms.find(before.id);
    if (!after) found.push({ kind: "sandbox", what: `${before.name}: removed` });
    else if (after.state !== before.state)
      found.push({ kind: "sandbox", what: `${before.name}: ${before.state}, is ${after.state}` });
  }
  return found;
}

/** Machines of this home that no record names: whoever started them died in between, or lost the record. */
async function endStrayMachines(home: Home): Promise<Garbage[]> {
  const found: Garbage[] = [];
  const one = filesOf(home, "x");
  const root = dirname(one.dir);
  const sockets = dirname(one.runtimeDir);
  const runtimeDirs = entries(sockets).map((name) => join(sockets, name));
  for (const monitor of await runningMonitors(
    Deadline.within(SCAN_MS, "looking for machines"),
    runtimeDirs,
  )) {
    const dir = dirname(monitor.exit);
    if (dirname(dir) !== root) continue;
    const record = home.store.vms.find(dir.slice(root.length + 1));
    // A record without a machine is one that is being started: its starter lives, or `recover` had seen to it.
    if (record && (record.vmm === undefined || record.vmm.monitor.pid === monitor.identity.pid)) continue;
    await killMonitor(monitor);
    found.push({ kind: "process", what: `process ${monitor.identity.pid}, the monitor of a machine` });
  }
  return found;
}

/**
 * The record comes first and goes last, so a directory without one is nobody's; but another program has the name smolvm, too, and may keep
 * directories of such names beside ours.
 */
function removeStrayDirectories(home: Home): Garbage[] {
  const { dir, runtimeDir } = filesOf(home, "x");
  return [dirname(dir), dirname(runtimeDir)].flatMap((root) =>
    entries(root)
      .filter((name) => /^[0-9a-f]{12}$/.test(name) && !home.store.vms.find(name) && isOurs(join(root, name)))
      .map((name): Garbage => {
        rmSync(join(root, name), { recursive: true, force: true });
        return { kind: "directory", what: join(root, name) };
      }),
  );
}

/** Ours are private, and hold only what we make. */
function isOurs(directory: string): boolean {
  const stat = lstatSync(directory, { throwIfNoEntry: false });
  if (!stat?.isDirectory() || (process.platform !== "win32" && (stat.mode & 0o077) !== 0)) return false;
  return entries(directory).every(isVmFile);
}

/** Cgroups of machines that have ended: those of records that have none, and of no record. */
async function endStrayCgroups(home: Home): Promise<Garbage[]> {
  const directory = cgroupsOfHome(home);
  const found: Garbage[] = [];
  for (const id of listCgroups(directory)) {
    if (MAY_RUN.has(home.store.vms.find(id)?.state ?? "stopped")) continue;
    const what = join(directory, id);
    if (await endCgroup(what, Deadline.within(END_MS, "ending a machine")))
      found.push({ kind: "cgroup", what });
  }
  return found;
}

/** Claims of processes that are gone: on session ports, on places in their queues, on ports of the host, on pools. */
function pruneLeases(home: Home): Garbage[] {
  const pruned = home.store.leases.prune() + home.store.ports.prune() + home.store.pools.prune();
  return pruned === 0 ? [] : [{ kind: "lease", what: `${pruned} of processes that are gone` }];
}

/** The socket of a supervisor that was killed, where nothing waits for the next one. */
function removeStaleSocket(home: Home): Garbage[] {
  const { socket } = supervisorFiles(home.paths);
  const { store } = home;
  if (store.supervisor.current() || store.supervisor.isNeeded() || !existsSync(socket)) return [];
  rmSync(socket, { force: true });
  return [{ kind: "socket", what: socket }];
}

function entries(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return []; // was never made
  }
}
