import { posix } from "node:path";

/** How a directory of the host is in a sandbox. */
export type MountMode = "ro" | "rw" | "overlay";

/** When the guest may believe what it has read before. */
export type MountCoherence = "events" | "strict";

/** A directory or file of the host that a sandbox has, live. */
export interface HostMount {
  /** directory or file of the host; relative to the working directory of this process */
  host: string;
  /** where the guest has it: an absolute path, made if it is missing */
  guest: string;
  /**
   * `ro` (default): the guest cannot change it; `rw`: what it writes is the host's at once; `overlay`: it sees the host's files, and what it writes stays on its
   * own disk (`vm.mounts.diff`, `vm.mounts.apply`)
   */
  mode?: MountMode;
  /**
   * `events` (default): the guest keeps what it has read until the host's kernel tells of a change; `strict`: it asks again each time, which is slower, and right also
   * where the host is told of nothing (network file systems that others write to)
   */
  coherence?: MountCoherence;
  /** true: share it although it is `/`, a home directory, one of smolvm's own or reached through a symlink; default false: that is refused */
  shareAnyway?: boolean;
}

/** The same, checked: as a sandbox's record keeps it. */
export interface MountSpec {
  /** absolute, without symlinks */
  readonly host: string;
  readonly guest: string;
  readonly mode: MountMode;
  readonly coherence: MountCoherence;
  /** one file, not a directory */
  readonly file: boolean;
}

/** More than anybody has asked for; the guest takes 64. */
export const MAX_MOUNTS = 32;

const MODES: readonly unknown[] = ["ro", "rw", "overlay"];
const COHERENCE: readonly unknown[] = ["events", "strict"];
const KEYS: readonly string[] = ["host", "guest", "mode", "coherence", "shareAnyway"];

/** What is wrong with a list of mounts; undefined: nothing. Pure. */
export function checkMounts(value: unknown): string | undefined {
  if (!Array.isArray(value)) return "is not an array";
  if (value.length > MAX_MOUNTS) return `has more than ${MAX_MOUNTS} entries`;
  const places = new Set<string>();
  for (const mount of value) {
    const problem = checkMount(mount);
    if (problem !== undefined) return `has an entry ${problem}`;
    const place = guestPlace((mount as HostMount).guest);
    if (places.has(place)) return `mounts two directories at '${place}'`;
    places.add(place);
  }
  return undefined;
}

/** What is wrong with one mount, to be read behind "an entry"; undefined: nothing. Pure. */
export function checkMount(value: unknown): string | undefined {
  if (typeof value !== "object" || value === null) return "that is not an object";
  const unknown = Object.keys(value).find((key) => !KEYS.includes(key));
  if (unknown !== undefined) return `with the unknown key '${unknown}'`;
  const { host, guest, mode, coherence, shareAnyway } = value as Partial<Record<keyof HostMount, unknown>>;
  if (!isPath(host)) return "whose host is no path";
  if (!isPath(guest) || !guest.startsWith("/")) return "whose guest is no absolute path";
  if (guestPlace(guest) === "/") return "whose guest is the root";
  if (mode !== undefined && !MODES.includes(mode)) return 'whose mode is not "ro", "rw" or "overlay"';
  if (coherence !== undefined && !COHERENCE.includes(coherence))
    return 'whose coherence is not "events" or "strict"';
  if (shareAnyway !== undefined && typeof shareAnyway !== "boolean")
    return "whose shareAnyway is neither true nor false";
  return undefined;
}

/** A guest's path as the guest's agent wants it: without empty, `.` and `..` components. Pure. */
export function guestPlace(guest: string): string {
  const place = posix.normalize(guest).replace(/\/+$/, "");
  return place === "" ? "/" : place;
}

function isPath(value: unknown): value is string {
  return typeof value === "string" && value !== "" && !value.includes("\0");
}
