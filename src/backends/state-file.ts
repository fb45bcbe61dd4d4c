import { closeSync, constants, fstatSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { SmolVMError } from "../errors.ts";
import type { VmFiles } from "../host/files/filenames.ts";

/** A state is some tens of KB: more than this is none. */
const STATE_MAX_BYTES = 64 << 20;

/** Where the state of a machine's CPUs and devices passes: the one directory that its VMM can write to. Pure. */
export function statePath({ runtimeDir }: Pick<VmFiles, "runtimeDir">): string {
  return join(runtimeDir, "state");
}

/**
 * What a VMM wrote; it has the directory to write in, so that what is there may be anything.
 * @throws SmolVMError VMM_FAILED
 */
export function readState(path: string): Buffer {
  const file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const { size } = fstatSync(file);
    if (size === 0 || size > STATE_MAX_BYTES)
      throw new SmolVMError("VMM_FAILED", `the VMM wrote a state of ${size} bytes, which is none`);
    return readFileSync(file);
  } finally {
    closeSync(file);
  }
}
