import { basename, join } from "node:path";
import type { VmmUser } from "../../isolation/enclosure.ts";

/** What a jailer is told. */
export interface JailerRequest {
  /** paths of the two programs */
  readonly jailer: string;
  readonly firecracker: string;
  /** letters, digits and -, at most 64 */
  readonly id: string;
  readonly user: VmmUser;
  /** directory for all that the jailer makes; its file system must allow devices */
  readonly base: string;
}

/** The directory that becomes Firecracker's root (https://github.com/firecracker-microvm/firecracker/blob/main/docs/jailer.md). */
export function jailRoot({
  base,
  firecracker,
  id,
}: Pick<JailerRequest, "base" | "firecracker" | "id">): string {
  return join(base, basename(firecracker), id, "root");
}

/**
 * The jailer's command line before Firecracker's own arguments. Its process becomes Firecracker: the pid namespace is
 * around it already, and so is the cgroup. Pure.
 */
export function jailerArgs({ jailer, firecracker, id, user, base }: JailerRequest): string[] {
  return [
    ...[jailer, "--id", id, "--exec-file", firecracker],
    ...["--uid", String(user.uid), "--gid", String(user.gid)],
    ...["--chroot-base-dir", base, "--cgroup-version", "2", "--"],
  ];
}
