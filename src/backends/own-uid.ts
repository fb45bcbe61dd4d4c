import { statSync } from "node:fs";
import type { MachineSpec } from "../config/spec.ts";
import type { VmFiles } from "../host/files/filenames.ts";
import type { Refusal } from "../isolation/tier.ts";
import { machineFiles } from "./machine-files.ts";

const KVM = "/dev/kvm";
const TUN = "/dev/net/tun";
/** For others, as in chmod o+rw. */
const READ = 0o004;
const WRITE = 0o002;

/**
 * Why the VMM of a machine cannot run under a uid that owns nothing but what it is given; undefined: it can. What of the
 * user's own it needs must be open to everyone: smolvm does not change who may use your files.
 * @param isOurs tells the files that smolvm itself has made, and may open
 * @param jailed whether it would be in a jail then
 */
export function ownUidRefusal(
  spec: MachineSpec,
  files: VmFiles,
  isOurs: (path: string) => boolean,
  jailed: boolean,
): Refusal | undefined {
  if (spec.networkCard === "tap" && !isOpen(TUN))
    return { reason: `${TUN} is open to root alone`, fix: `Open it, as distributions do: chmod 666 ${TUN}` };
  const ownKvm = jailed && spec.backend === "firecracker"; // its jailer makes one
  if (spec.accelerator === "kvm" && !ownKvm && kvmGroups() === undefined) {
    return {
      reason: `${KVM} is open to root alone`,
      fix: `Give it to a group: sudo groupadd -f kvm; sudo chgrp kvm ${KVM}; sudo chmod 660 ${KVM}`,
    };
  }
  const { readOnly, writable } = machineFiles(spec, files);
  const given = new Set([files.runtimeDir, files.upper]);
  return (
    closed(
      readOnly.filter((path) => !isOurs(path)),
      READ,
      "o+r",
    ) ??
    closed(
      writable.filter((path) => !given.has(path)),
      READ | WRITE,
      "o+rw",
    )
  );
}

function isOpen(path: string): boolean {
  const mode = statSync(path, { throwIfNoEntry: false })?.mode ?? 0;
  return (mode & (READ | WRITE)) === (READ | WRITE);
}

function closed(paths: readonly string[], bits: number, mode: string): Refusal | undefined {
  const path = paths.find((name) => (statSync(name).mode & bits) !== bits);
  if (path === undefined) return undefined;
  return { reason: `'${path}' is closed to a uid of its own`, fix: `Open it: chmod ${mode} '${path}'` };
}

/** The groups that a VMM must be in to open /dev/kvm; undefined: only root may. */
export function kvmGroups(): readonly number[] | undefined {
  if (isOpen(KVM)) return [];
  const stat = statSync(KVM, { throwIfNoEntry: false });
  if (stat === undefined) return undefined;
  return stat.gid !== 0 && (stat.mode & 0o060) === 0o060 ? [stat.gid] : undefined;
}
