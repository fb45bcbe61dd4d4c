import { readlinkSync } from "node:fs";
import { diskSpace } from "../../host/files/disk-space.ts";
import { setupState } from "../../host/setup/setup-state.ts";
import type { Home } from "../home.ts";
import type { HostState } from "./info.ts";

/** What descriptions of the home's sandboxes tell of the host, but for each one's ports. */
export function hostState({ paths: { dataDir }, store }: Home): Omit<HostState, "ports"> {
  const { freeBytes } = diskSpace(dataDir);
  const tapsReachPrivate = setupState().runtime?.privateNetworks;
  return { now: Date.now(), dataDir, freeBytes, taps: store.taps.byVm(), tapsReachPrivate, programOf };
}

function programOf(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/exe`);
  } catch {
    return undefined; // not Linux, another user's, or ended
  }
}
