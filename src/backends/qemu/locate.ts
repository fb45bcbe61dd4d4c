import { statSync } from "node:fs";
import { join } from "node:path";
import type { Arch } from "../../config/spec.ts";
import type { SmolVMError } from "../../errors.ts";
import type { Environment } from "../../host/environment.ts";
import { findProgram } from "../../host/process/find-program.ts";
import { programMissing } from "../../host/process/run.ts";
import { installHint } from "../../host/setup/install-hint.ts";
import { qemuProgram } from "./probe.ts";

/** Where installers put QEMU without putting it on PATH. */
const USUAL_DIRECTORIES: Readonly<Partial<Record<NodeJS.Platform, readonly string[]>>> = {
  linux: ["/usr/bin", "/usr/local/bin"],
  darwin: ["/opt/homebrew/bin", "/usr/local/bin", "/opt/local/bin"],
  win32: ["C:\\Program Files\\qemu"],
};

/**
 * Path of the QEMU for an architecture's guests, or undefined. `SMOLVM_QEMU` (a binary, or a directory that holds it)
 * is the only place looked at when it is set. Starts nothing.
 */
export function locateQemu(arch: Arch, env: Environment): string | undefined {
  const name = qemuProgram(arch);
  if (env.qemu !== undefined) {
    const isDirectory = statSync(env.qemu, { throwIfNoEntry: false })?.isDirectory() ?? false;
    return findProgram(isDirectory ? join(env.qemu, name) : env.qemu, env.path);
  }
  return findProgram(name, env.path, USUAL_DIRECTORIES[process.platform]);
}

/** The error for a QEMU that is not there: `qemu-system-x86_64 not found` and the platform's install command. */
export function qemuMissing(arch: Arch, env: Environment): SmolVMError {
  return env.qemu === undefined
    ? programMissing(qemuProgram(arch), installHint(`qemu-${arch}`))
    : programMissing(
        qemuProgram(arch),
        `SMOLVM_QEMU is '${env.qemu}', which is no such program. Correct it, or: unset SMOLVM_QEMU`,
      );
}
