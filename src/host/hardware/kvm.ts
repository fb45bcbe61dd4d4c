import { closeSync, constants, openSync, readFileSync, statSync } from "node:fs";
import type { Arch } from "../../config/spec.ts";
import { userName } from "../process/user-name.ts";
import { setupCommand } from "../setup/setup-command.ts";

/**
 * Whether KVM can be used, and if not, which of the reasons it is:
 * `absent` no /dev/kvm; `forbidden` there, and not for this user; `relogin` the user is in the group that may, but this
 * session began before; `software` it opens, yet the CPU shows no vmx or svm (a software KVM, on which an ordinary guest
 * kernel spins for ever); `failed` opening it fails in another way; `platform` not Linux.
 */
export type KvmState = "usable" | "absent" | "forbidden" | "relogin" | "software" | "failed" | "platform";

export interface KvmFacts {
  readonly state: KvmState;
  /** one sentence for people */
  readonly detail: string;
  /** what to do, ending in a command; undefined when usable */
  readonly fix: string | undefined;
}

/** What was found out about /dev/kvm; input of {@link classifyKvm}. */
export interface KvmObservation {
  readonly platform: NodeJS.Platform;
  readonly arch: Arch | undefined;
  /** undefined: it opens read-write; else the errno's name, e.g. "EACCES" */
  readonly openError: string | undefined;
  readonly cpuFlags: ReadonlySet<string>;
  /** name of the group that owns the device, if it may read and write */
  readonly group: string | undefined;
  /** the group database lists this user as a member */
  readonly userInGroup: boolean;
  readonly user: string;
  /** the command that sets this machine up */
  readonly setup: string;
}

const ABSENT_FIX =
  "Verify the KVM modules: lsmod | grep kvm. Check that virtualization is switched on in the BIOS (or nested " +
  "virtualization in the outer hypervisor). Then run the set-up:";

const SOFTWARE_FIX =
  "Switch nested virtualization on in the outer hypervisor; until then guests are emulated (accelerator tcg).";

/** Tells which case of KVM an observation is. Pure. */
export function classifyKvm(seen: KvmObservation): KvmFacts {
  if (seen.platform !== "linux")
    return { state: "platform", detail: "KVM exists on Linux only", fix: undefined };
  // On Arm the CPU's flags do not tell; there /dev/kvm exists only where the hypervisor mode works.
  const able = seen.arch !== "x86_64" || seen.cpuFlags.has("vmx") || seen.cpuFlags.has("svm");
  if (seen.openError === undefined) {
    if (able) return { state: "usable", detail: "enabled", fix: undefined };
    return {
      state: "software",
      detail:
        "/dev/kvm opens, but the CPU shows neither vmx nor svm: a software KVM, which cannot run guests",
      fix: SOFTWARE_FIX,
    };
  }
  if (["ENOENT", "ENXIO", "ENODEV"].includes(seen.openError)) {
    return { state: "absent", detail: "/dev/kvm does not exist", fix: `${ABSENT_FIX} ${seen.setup}` };
  }
  if (seen.openError === "EACCES" || seen.openError === "EPERM") {
    if (!able) {
      // Opening it would not help.
      return {
        state: "software",
        detail: `/dev/kvm is not open to '${seen.user}', and the CPU shows neither vmx nor svm: a software KVM, which cannot run guests`,
        fix: SOFTWARE_FIX,
      };
    }
    if (seen.userInGroup) {
      return {
        state: "relogin",
        detail: `/dev/kvm is for group '${seen.group}', which '${seen.user}' has joined since this session began`,
        fix: `Log out and in again, or run: newgrp ${seen.group}`,
      };
    }
    return {
      state: "forbidden",
      detail: `/dev/kvm is not open to '${seen.user}'`,
      fix:
        seen.group === undefined || seen.group === "root"
          ? `Give it to a group that you join, then log in again: ${seen.setup}`
          : `Join the group, then log in again: sudo usermod -aG ${seen.group} ${seen.user}`,
    };
  }
  return {
    state: "failed",
    detail: `/dev/kvm cannot be opened: ${seen.openError}`,
    fix: `${ABSENT_FIX} ${seen.setup}`,
  };
}

/** Looks at /dev/kvm of this host. Takes well under a millisecond and starts nothing. */
export function kvmFacts(arch: Arch | undefined): KvmFacts {
  if (process.platform !== "linux") return classifyKvm({ ...NOTHING, platform: process.platform, arch });
  const openError = tryOpen("/dev/kvm");
  const denied = openError === "EACCES" || openError === "EPERM";
  // Looked at only where it makes a difference: without the device, and for who may open it, it does not matter who asks.
  const user = denied ? userName() : "";
  const group = denied ? deviceGroup("/dev/kvm") : undefined;
  return classifyKvm({
    platform: process.platform,
    arch,
    openError,
    cpuFlags: arch === "x86_64" && (openError === undefined || denied) ? readCpuFlags() : new Set(),
    group: group?.name,
    userInGroup: group?.members.includes(user) ?? false,
    user,
    setup: setupCommand(["--configure-runtime"]),
  });
}

const NOTHING: KvmObservation = {
  platform: "linux",
  arch: undefined,
  openError: undefined,
  cpuFlags: new Set(),
  group: undefined,
  userInGroup: false,
  user: "",
  setup: "",
};

function tryOpen(path: string): string | undefined {
  try {
    closeSync(openSync(path, constants.O_RDWR));
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? "unknown";
  }
}

/** The flags of the first CPU in /proc/cpuinfo (x86). */
function readCpuFlags(): ReadonlySet<string> {
  try {
    const line = /^flags\s*:(.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"));
    return new Set((line?.[1] ?? "").trim().split(/\s+/));
  } catch {
    return new Set();
  }
}

function deviceGroup(path: string): { name: string; members: string[] } | undefined {
  try {
    const stat = statSync(path);
    if ((stat.mode & 0o060) !== 0o060) return undefined;
    // group(5): name:password:gid:members
    for (const line of readFileSync("/etc/group", "utf8").split("\n")) {
      const [name, , gid, members] = line.split(":");
      if (name && gid === String(stat.gid)) return { name, members: (members ?? "").split(",") };
    }
  } catch {
    // not to be found out: then nothing is said about the group
  }
  return undefined;
}
