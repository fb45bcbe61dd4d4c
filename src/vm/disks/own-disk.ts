import type { VmSpec } from "../../config/spec.ts";
import type { VmFiles } from "../../host/files/filenames.ts";
import { writeDiskFromSeed } from "../../images/disk/seed.ts";
import { rmSync } from "../../util/files-go.ts";

/**
 * Gives a sandbox that nobody has used yet an empty disk of its own, if it has one.
 * @throws SmolVMError IMAGE_INVALID, NO_SPACE, HOST_FAILED
 */
export function writeEmptyDisk({ seedPath, diskSizeMib }: VmSpec, files: VmFiles): void {
  if (seedPath !== undefined) writeOwnDisk(seedPath, diskSizeMib, files);
}

/**
 * Gives it one with what a seed holds, over that which it has.
 * @throws SmolVMError IMAGE_INVALID, NO_SPACE, HOST_FAILED
 */
export function writeOwnDisk(seed: string, diskSizeMib: number, { upper }: VmFiles): void {
  rmSync(upper, { force: true });
  writeDiskFromSeed(seed, upper, diskSizeMib * 1024 * 1024);
}
