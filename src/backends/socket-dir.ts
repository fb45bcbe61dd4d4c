import { chownSync } from "node:fs";
import { ensurePrivateDir } from "../host/files/paths.ts";
import type { Enclosure } from "../isolation/enclosure.ts";

/** Makes the directory in which a VMM makes its sockets, and gives it to the VMM's user. @throws SmolVMError HOST_FAILED */
export function makeSocketDir(directory: string, { user }: Enclosure): void {
  ensurePrivateDir(directory);
  if (user !== undefined) chownSync(directory, user.uid, user.gid);
}
