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
 * The state that a VMM wrote.
 * @throws SmolVMError VMM_FAILED
 */
export function readState(path: string): Buffer {
  const file = openWritten(path, STATE_MAX_BYTES);
  try {
    return readFileSync(file);
  } finally {
    closeSync(file);
  }
}

/**
 * Opens what a VMM wrote, to be read; it has the directory to write in, so that what is there may be anything.
 * @returns a descriptor
 * @throws SmolVMError VMM_FAILED for what is no file, empty, or longer than `maxBytes`; as openSync does
 */
export function openWritten(path: string, maxBytes: number): number {
  const file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  const about = fstatSync(file);
  if (about.isFile() && about.size > 0 && about.size <= maxBytes) return file;
  closeSync(file);
  throw new SmolVMError("VMM_FAILED", `the VMM wrote ${about.size} bytes, which are not what was asked for`);
}
