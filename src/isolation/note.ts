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

/** The host, as far as words go. */
export interface NotedHost {
  readonly platform: NodeJS.Platform;
  /** VMMs are started by the native monitor (host/package.ts) */
  readonly hasNativeMonitor: boolean;
}

/** Whose process a VMM is, and what it may not do by itself, without anything around it. Pure. */
function processNote(ownUid: boolean, { platform, hasNativeMonitor }: NotedHost): string {
  if (platform === "linux")
    return ownUid ? "with a uid of its own and a seccomp filter" : "of this user with a seccomp filter";
  if (platform === "win32" && hasNativeMonitor)
    return "of this user without privileges, in a job in which it starts no other process";
  return "of this user";
}

const PROGRAMS: Readonly<Record<BackendName, string>> = { qemu: "QEMU", firecracker: "Firecracker" };

/** What that means for a machine, in words. Pure. */
export function tierNote(
  { tier, ownUid, limits }: Around,
  backend: BackendName,
  accelerator: Accelerator,
  host: NotedHost,
): string {
  return [
    `${PROGRAMS[backend]}, a process ${processNote(ownUid, host)}`,
    ...(tier === "none" ? [] : [", in namespaces in which it sees its own files alone"]),
    ...(limits.length > 0 ? [`, with limits on ${limitWords(limits)}`] : []),
    ...(accelerator === "tcg" ? ["; emulation (TCG) is outside QEMU's security guarantee"] : []),
  ].join("");
}
