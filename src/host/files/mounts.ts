import { readFileSync, realpathSync } from "node:fs";
import { dirname } from "node:path";

/** A place where a file system is mounted. */
export interface Mount {
  readonly point: string;
  /** e.g. "nodev", "noexec" */
  readonly options: readonly string[];
}

/** The mount that a path is on, or will be on once it exists; undefined where the system does not tell. Linux only. */
export function mountOf(path: string): Mount | undefined {
  try {
    return findMount(readFileSync("/proc/self/mountinfo", "utf8"), realPath(path));
  } catch {
    return undefined; // no /proc
  }
}

/**
 * The mount that a path is on.
 * @param mountinfo the text of proc_pid_mountinfo(5): a line has "ID PARENT MAJOR:MINOR ROOT POINT OPTIONS ..."; what is
 *   mounted later covers what was before
 * @param path absolute, without links
 */
export function findMount(mountinfo: string, path: string): Mount | undefined {
  const mounts = mountinfo.split("\n").flatMap((line): Mount[] => {
    const [, , , , point, options] = line.split(" ");
    return point === undefined || options === undefined
      ? []
      : [{ point: spelledOut(point), options: options.split(",") }];
  });
  const around = mounts.filter(
    ({ point }) => point === "/" || path === point || path.startsWith(`${point}/`),
  );
  const longest = Math.max(...around.map(({ point }) => point.length));
  return around.findLast(({ point }) => point.length === longest);
}

/** Spaces and the like are octal numbers there. */
function spelledOut(point: string): string {
  return point.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

function realPath(path: string): string {
  try {
    return realpathSync.native(path);
  } catch (error) {
    if (dirname(path) === path) throw error;
    return realPath(dirname(path));
  }
}
