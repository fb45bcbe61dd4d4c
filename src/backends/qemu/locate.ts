import { statSync } from "node:fs";
import { join } from "node:path";
import type { Arch, MachineSpec, MachineType } from "../../config/spec.ts";
import type { SmolVMError } from "../../errors.ts";
import type { Environment } from "../../host/environment.ts";
import { isOwnQemu, placedQemu } from "../../host/own-qemu/place.ts";
import { builtQemu, chosenQemu, DISTRIBUTION, installedQemu } from "../../host/own-qemu/which.ts";
import { findProgram } from "../../host/process/find-program.ts";
import { programMissing } from "../../host/process/run.ts";
import { installHint } from "../../host/setup/install-hint.ts";
import type { BackendHost } from "../host.ts";
import { qemuProgram } from "./probe.ts";

/** Where installers put QEMU without putting it on PATH. */
const USUAL_DIRECTORIES: Readonly<Partial<Record<NodeJS.Platform, readonly string[]>>> = {
  linux: ["/usr/bin", "/usr/local/bin"],
  darwin: ["/opt/homebrew/bin", "/usr/local/bin", "/opt/local/bin"],
  win32: ["C:\\Program Files\\qemu"],
};

/**
 * Which QEMU it is: the one that `SMOLVM_QEMU` names, one that was built here (`smolvm qemu build`), one that npm has installed beside
 * smolvm (smolvm-qemu-x64), or the distribution's.
 */
export type QemuOrigin = "named" | "built" | "installed" | "distribution";

/** A QEMU that was found. */
export interface LocatedQemu {
  readonly path: string;
  readonly origin: QemuOrigin;
}

/**
 * The QEMU for an architecture's guests, or undefined. `SMOLVM_QEMU` (a binary, or a directory that holds it) is the only place looked
 * at when it is set; else ours is taken where there is one that has the machine. Starts nothing.
 */
export function findQemu(
  arch: Arch,
  { env, cacheDir }: BackendHost,
  machine?: QemuWants,
): LocatedQemu | undefined {
  const name = qemuProgram(arch);
  if (env.qemu !== undefined) {
    const named = findProgram(isDirectory(env.qemu) ? join(env.qemu, name) : env.qemu, env.path);
    return found(named !== undefined && isOwnQemu(named) ? placedQemu({ cacheDir }, named) : named, "named");
  }
  const own = machine === undefined || ownServes(machine, env) ? ownQemu(arch, cacheDir) : undefined;
  return own ?? found(findProgram(name, env.path, USUAL_DIRECTORIES[process.platform]), "distribution");
}

/** One that this user may not look into is none. */
function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}

function ownQemu(arch: Arch, cacheDir: string): LocatedQemu | undefined {
  if (chosenQemu({ cacheDir }, arch) === DISTRIBUTION) return undefined;
  const built = builtQemu({ cacheDir }, arch);
  const program = built ?? installedQemu(arch);
  return found(program && placedQemu({ cacheDir }, program), built === undefined ? "installed" : "built");
}

/** Path of {@link findQemu}'s. */
export function locateQemu(arch: Arch, host: BackendHost, machine?: QemuWants): string | undefined {
  return findQemu(arch, host, machine)?.path;
}

/** What of a machine decides which QEMU it runs on. */
export type QemuWants = Pick<MachineSpec, "machine"> &
  Partial<Pick<MachineSpec, "network" | "networkCard" | "unfiltered" | "gdbPort" | "transport">>;

/**
 * Whether ours can run a machine. It is static, so no library can filter its user-mode network: that takes a network of its own, by pasta
 * (network/user-network.ts).
 */
function ownServes(wants: QemuWants, env: Environment): boolean {
  const { machine, network = "off", networkCard, unfiltered = false, gdbPort, transport } = wants;
  if (!OWN_MACHINES.includes(machine)) return false;
  if (network !== "open" || networkCard === "tap" || unfiltered) return true;
  const ownNetwork = gdbPort === undefined && transport !== "tcp";
  return ownNetwork && findProgram("pasta", env.path, USUAL_DIRECTORIES.linux) !== undefined;
}

/** The machines that ours has (qemu/x86_64.devices). */
const OWN_MACHINES: readonly MachineType[] = ["microvm"];

function found(path: string | undefined, origin: QemuOrigin): LocatedQemu | undefined {
  return path === undefined ? undefined : { path, origin };
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
