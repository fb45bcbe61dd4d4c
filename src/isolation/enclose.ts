import type { Scope } from "../host/systemd/scope.ts";
import { bwrapArgs, chrootArgs } from "./bwrap-args.ts";
import type { Enclosure } from "./enclosure.ts";
import type { HostView } from "./view.ts";

/** What is launched instead of a program that is to be enclosed. */
export interface EnclosedProgram {
  readonly argv: readonly string[];
  /** the program is not the first of argv: it says itself which process it is (monitor/src/enter.rs) */
  readonly wrapped: boolean;
  /** directory of the cgroup that all of argv is put into */
  readonly cgroup: string | undefined;
  /** the scope that all of argv is put into, and its monitor */
  readonly scope?: Scope | undefined;
}

/**
 * Puts an enclosure around a program. Pure.
 * @param view what it needs of the host; only asked for where there is an enclosure
 */
export function enclose(
  { bubblewrap, user, cgroup, scope }: Enclosure,
  view: () => HostView,
  argv: readonly string[],
): EnclosedProgram {
  if (bubblewrap === undefined) return { argv, wrapped: false, cgroup, scope };
  const seen = view();
  const become = user === undefined ? [] : ["--user", [user.uid, user.gid, ...(seen.groups ?? [])].join(":")];
  // It opens its log by the name of its stderr.
  const own = user === undefined || !seen.proc ? [] : ["--own-output", `${user.uid}:${user.gid}`];
  const env = Object.entries(seen.env ?? {}).flatMap(([name, value]) => ["--setenv", `${name}=${value}`]);
  const enter = [bubblewrap.monitor, "enter", ...own, ...become, ...env, "--"];
  return { argv: [...bwrapArgs(bubblewrap, seen), ...enter, ...argv], wrapped: true, cgroup, scope };
}

/**
 * Puts an enclosure around a program that takes the last step itself: it changes its root and its user. Pure.
 * @param root the directory that will be its root
 */
export function encloseJailer(
  { cgroup }: Enclosure,
  { bubblewrap, user, view, root }: JailerPlace,
  argv: readonly string[],
): EnclosedProgram {
  const enter = [bubblewrap.monitor, "enter", "--own-output", `${user.uid}:${user.gid}`, "--"];
  return { argv: [...chrootArgs(bubblewrap, view, root), ...enter, ...argv], wrapped: true, cgroup };
}

/** Where a jailer puts its program, and as whom. */
export interface JailerPlace {
  readonly bubblewrap: NonNullable<Enclosure["bubblewrap"]>;
  readonly user: NonNullable<Enclosure["user"]>;
  readonly view: HostView;
  readonly root: string;
}
