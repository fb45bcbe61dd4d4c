import { join } from "node:path";
import type { Endpoint } from "../agent/session/endpoint.ts";
import { BACKEND_FEATURES } from "../backends/features.ts";
import { AGENT_VSOCK_PORT } from "../backends/firecracker/kernel-args.ts";
import { isSmolVMError } from "../errors.ts";
import { DISK_FULL_BYTES, diskSpace } from "../host/files/disk-space.ts";
import { type VmFiles, vmFiles } from "../host/files/filenames.ts";
import { ensurePaths, type Paths, processPaths } from "../host/files/paths.ts";
import { templateLayout } from "../snapshots/layout.ts";
import { openStore, type Store } from "../store/store.ts";
import type { VmRecord } from "../store/vms.ts";
import { startSupervisor, supervisorAllowed } from "./start-supervisor.ts";

/** One user's sandboxes: where they live and the store that lists them. */
export interface Home {
  readonly paths: Paths;
  readonly store: Store;
}

let opened: Home | undefined;

/**
 * The home of this process, opened once. A supervisor that died is brought back to what it had to do.
 * @throws SmolVMError STORE_INVALID, HOST_FAILED
 */
export function openHome(): Home {
  const known = opened;
  const home = openHomeQuietly();
  if (home !== known && needsSupervisor(home)) {
    try {
      startSupervisor(home.paths);
    } catch {
      // A full disk has no room for its log: what the user wants now must not fail for that.
    }
  }
  return home;
}

/** {@link openHome} for the supervisor itself. */
export function openHomeQuietly(): Home {
  const paths = processPaths();
  if (opened && opened.paths.dataDir === paths.dataDir && opened.paths.runtimeDir === paths.runtimeDir)
    return opened;
  ensurePaths(paths);
  opened = { paths, store: openStore(paths.dataDir) };
  return opened;
}

function needsSupervisor({ store }: Home): boolean {
  return supervisorAllowed() && store.supervisor.isNeeded() && !store.supervisor.current();
}

/** Where the machines live that templates are made of: a home of its own, so that nobody lists them. */
export function workshopPaths(paths: Paths): Paths {
  return { ...paths, dataDir: templateLayout(paths).home, runtimeDir: join(paths.runtimeDir, "t") };
}

/** The files of one sandbox of this home. */
export function filesOf(home: Home, id: string): VmFiles {
  return vmFiles(home.paths.dataDir, home.paths.runtimeDir, id);
}

/** Before something is removed: on a full disk, makes room for the notes that this takes. */
export function makeRoomToRemove(home: Home): void {
  if (diskSpace(home.paths.dataDir).freeBytes < DISK_FULL_BYTES) home.store.makeRoom();
}

/**
 * Notes that something is over. On a full disk that takes the room which is kept for removing: what stayed noted as begun could not even be removed.
 * @throws SmolVMError NO_SPACE, where that is gone already
 */
export function noteEnd<T>(home: Home, note: () => T): T {
  try {
    return note();
  } catch (error) {
    if (!isSmolVMError(error, "NO_SPACE")) throw error;
    home.store.makeRoom();
    return note();
  }
}

/** Where a channel port of a sandbox is reached: port 0 is kept for stopping and the supervisor. Where sessions are unlimited, all are one. */
export function endpointOf(home: Home, record: VmRecord, port: number): Endpoint {
  const files = filesOf(home, record.id);
  if (record.spec.machine.transport === "tcp") return relayEndpoint(files, port);
  return sessionsAreUnlimited(record)
    ? // The answer to this, "OK 1073741824", is among what a session skips until it is greeted.
      { kind: "unix", path: files.vsock, greeting: `CONNECT ${AGENT_VSOCK_PORT}\n` }
    : { kind: "unix", path: files.channel(port) };
}

/** Whether each process connects to the sandbox as it likes: no session port is leased then. */
export function sessionsAreUnlimited(record: VmRecord): boolean {
  return BACKEND_FEATURES[record.spec.machine.backend].sessions === "unlimited";
}

function relayEndpoint({ relay }: VmFiles, port: number): Endpoint {
  return {
    kind: "relay",
    path: relay,
    // Loaded by those who need it: it wants node:crypto.
    dial: async (signal) => (await import("../host/relay/dial.ts")).dialRelay(relay, `ch${port}`, signal),
  };
}
