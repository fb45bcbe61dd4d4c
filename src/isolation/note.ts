import type { Accelerator, BackendName, IsolationTier, LimitName } from "../config/spec.ts";
import { limitWords } from "./limits.ts";

/** What stands around a VMM, as far as words go. */
export interface Around {
  readonly tier: IsolationTier;
  /** it has a uid of its own */
  readonly ownUid: boolean;
  /** what of this machine it may use within limits only */
  readonly limits: readonly LimitName[];
}

const PROGRAMS: Readonly<Record<BackendName, string>> = { qemu: "QEMU", firecracker: "Firecracker" };

/** What that means for a machine, in words. Pure. */
export function tierNote(
  { tier, ownUid, limits }: Around,
  backend: BackendName,
  accelerator: Accelerator,
): string {
  const whose = ownUid ? "with a uid of its own and" : "of this user with";
  return [
    `${PROGRAMS[backend]}, a process ${whose} a seccomp filter`,
    ...(tier === "none" ? [] : [", in namespaces in which it sees its own files alone"]),
    ...(limits.length > 0 ? [`, with limits on ${limitWords(limits)}`] : []),
    ...(accelerator === "tcg" ? ["; emulation (TCG) is outside QEMU's security guarantee"] : []),
  ].join("");
}
