import { diskSpace } from "../../host/files/disk-space.ts";
import type { Home } from "../home.ts";
import type { HostState } from "./info.ts";

/** What descriptions of the home's sandboxes tell of the host, but for each one's ports. */
export function hostState({ paths: { dataDir }, store }: Home): Omit<HostState, "ports"> {
  return { now: Date.now(), dataDir, freeBytes: diskSpace(dataDir).freeBytes, taps: store.taps.byVm() };
}
