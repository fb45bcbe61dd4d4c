import type { Accelerator, BackendName, IsolationTier } from "../config/spec.ts";

/** What stands around a VMM, as far as words go. */
export interface Around {
  readonly tier: IsolationTier;
  /** it has a uid of its own */
  readonly ownUid: boolean;
  /** a cgroup limits what it may use */
  readonly limited: boolean;
}

const PROGRAMS: Readonly<Record<BackendName, string>> = { qemu: "QEMU", firecracker: "Firecracker" };

/** What that means for a machine, in words. Pure. */
export function tierNote(
  { tier, ownUid, limited }: Around,
  backend: BackendName,
  accelerator: Accelerator,
): string {
  const whose = ownUid ? "with a uid of its own and" : "of this user with";
  return [
    `${PROGRAMS[backend]}, a process ${whose} a seccomp filter`,
    ...(tier === "none" ? [] : [", in namespaces in which it sees its own files alone"]),
    ...(limited ? [", with limits on memory, CPU time and processes"] : []),
    ...(accelerator === "tcg" ? ["; emulation (TCG) is outside QEMU's security guarantee"] : []),
  ].join("");
}
