import { symlinkSync } from "node:fs";
import { join } from "node:path";
import type { DiskSpec } from "../../config/spec.ts";
import type { VmFiles } from "../../host/files/filenames.ts";
import { linkName, PLACE } from "./own-names.ts";

/** Makes the names that all machines have (own-names.ts) for one of them, in a directory of sockets that was just made. */
export function makeOwnNames(disks: readonly DiskSpec[], { runtimeDir }: Pick<VmFiles, "runtimeDir">): void {
  symlinkSync(".", join(runtimeDir, PLACE)); // for one that runs in that directory
  for (const { serial, path } of disks) symlinkSync(path, join(runtimeDir, linkName(serial)));
}
