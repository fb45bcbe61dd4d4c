import { chownSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { DiskSpec } from "../../config/spec.ts";
import type { VmFiles } from "../../host/files/filenames.ts";
import type { VmmUser } from "../../isolation/enclosure.ts";
import { linkName, PLACE } from "./own-names.ts";

/** Makes the names that all machines have (own-names.ts) for one of them, in a directory of sockets that was just made. */
export function makeOwnNames(disks: readonly DiskSpec[], { runtimeDir }: Pick<VmFiles, "runtimeDir">): void {
  symlinkSync(".", join(runtimeDir, PLACE)); // for one that runs in that directory
  for (const { serial, path } of disks) symlinkSync(path, join(runtimeDir, linkName(serial)));
}

/** Makes the file that Firecracker may write its memory to: empty, and its user's. */
export function makeScratch({ scratch }: Pick<VmFiles, "scratch">, user: VmmUser | undefined): void {
  writeFileSync(scratch, "", { mode: 0o600 });
  if (user !== undefined) chownSync(scratch, user.uid, user.gid);
}
