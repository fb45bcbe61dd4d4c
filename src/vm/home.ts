import type { Endpoint } from "../agent/endpoint.ts";
import { DISK_FULL_BYTES, diskSpace } from "../host/disk-space.ts";
import { type VmFiles, vmFiles } from "../host/filenames.ts";
import { ensurePaths, type Paths, processPaths } from "../host/paths.ts";
import { openStore, type Store } from "../store/store.ts";

/** One user's sandboxes: where they live and the store that lists them. */
export interface Home {
  readonly paths: Paths;
  readonly store: Store;
}

let opened: Home | undefined;

/** The home of this process, opened once. @throws SmolVMError STORE_INVALID, HOST_FAILED */
export function openHome(): Home {
  const paths = processPaths();
  if (opened && opened.paths.dataDir === paths.dataDir && opened.paths.runtimeDir === paths.runtimeDir)
    return opened;
  ensurePaths(paths);
  opened = { paths, store: openStore(paths.dataDir) };
  return opened;
}

/** The files of one sandbox of this home. */
export function filesOf(home: Home, id: string): VmFiles {
  return vmFiles(home.paths.dataDir, home.paths.runtimeDir, id);
}

/** Before something is removed: on a full disk, makes room for the notes that this takes. */
export function makeRoomToRemove(home: Home): void {
  if (diskSpace(home.paths.dataDir).freeBytes < DISK_FULL_BYTES) home.store.makeRoom();
}

/** Where a channel port of a sandbox is reached: port 0 is kept for stopping and the supervisor. */
export function endpointOf(home: Home, id: string, port: number): Endpoint {
  return { kind: "unix", path: filesOf(home, id).channel(port) };
}
