import type { Accelerator, BackendName, IsolationTier } from "../config/spec.ts";

const PROGRAMS: Readonly<Record<BackendName, string>> = { qemu: "QEMU", firecracker: "Firecracker" };

const AROUND: Readonly<Record<IsolationTier, string>> = {
  none: "a process of this user with a seccomp filter",
  user: "a process of this user with a seccomp filter, in namespaces of its own in which it sees its own files alone",
  jail: "a process with a uid of its own and a seccomp filter, in namespaces in which it sees its own files alone",
};

/** What a tier means for a machine, in words. Pure. */
export function tierNote(tier: IsolationTier, backend: BackendName, accelerator: Accelerator): string {
  const note = `${PROGRAMS[backend]}, ${AROUND[tier]}`;
  return accelerator === "tcg" ? `${note}; emulation (TCG) is outside QEMU's security guarantee` : note;
}
