/** For how long what `ps` said of a process is believed, in ms: it is asked in loops, and takes some ms. */
const KEEP_MS = 1_000;

const known = new Map<number, { readonly at: number; readonly startTime: string }>();

/**
 * When a process was started, as `ps` says it (ps(1), lstart: to the second), where there is no /proc to ask: with the pid it names a process for good. ""
 * for none, and where that cannot be found out.
 */
export function psStartTime(pid: number, now: number = Date.now()): string {
  const last = known.get(pid);
  if (last !== undefined && Math.abs(now - last.at) < KEEP_MS) return last.startTime;
  const { spawnSync } = process.getBuiltinModule("node:child_process");
  // The same words for everybody, whatever language and time zone they have.
  const env = { LC_ALL: "C", TZ: "UTC" };
  const { stdout } = spawnSync("/bin/ps", ["-o", "lstart=", "-p", String(pid)], { env, encoding: "latin1" });
  const startTime = (stdout ?? "").trim().replaceAll(/\s+/g, " ");
  known.set(pid, { at: now, startTime });
  return startTime;
}
