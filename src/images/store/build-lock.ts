import { randomBytes } from "node:crypto";
import { link, mkdir, readFile, rmdir, stat, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { identify, isAlive, type ProcessIdentity } from "../../host/process/process-identity.ts";
import type { Deadline } from "../../util/deadline.ts";
import { rm } from "../../util/files-go.ts";
import { orNoSpace } from "../../util/no-space.ts";

/** Between two looks at a lock that another process holds. */
const POLL_MS = 200;
/** A takeover takes milliseconds: one that is older was cut off. */
const TAKEOVER_STALE_MS = 10_000;

/**
 * A lock between processes: a file that names its holder. Node has no flock, so a holder that died is told by its process
 * identity, and one taker at a time removes its file.
 * @param onWait called once, if another process holds it
 * @returns how to let go of it
 * @throws SmolVMError NO_SPACE, TIMEOUT, ABORTED
 */
export async function acquireLock(
  path: string,
  deadline: Deadline,
  onWait?: (holder: ProcessIdentity) => void,
): Promise<() => Promise<void>> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  // Written aside and linked: the lock never exists without its holder's name.
  const mine = `${path}.${process.pid}.${randomBytes(4).toString("hex")}`;
  try {
    await writeFile(mine, JSON.stringify(identify(process.pid)), { mode: 0o600 });
    for (let waited = false; ; ) {
      deadline.check();
      if (await tryLink(mine, path)) return () => rm(path, { force: true });
      const holder = await readHolder(path);
      if (holder === undefined) continue; // let go of in between
      if (!isAlive(holder)) {
        await removeStale(path);
        continue;
      }
      if (!waited) onWait?.(holder);
      waited = true;
      await deadline.sleep(POLL_MS);
    }
  } catch (error) {
    throw orNoSpace(error, `no space left for the lock '${path}'`, dirname(path));
  } finally {
    await rm(mine, { force: true }); // on a full disk it is there, and empty
  }
}

async function tryLink(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

/** Who holds the lock; a file that names nobody counts as a dead holder; undefined if there is no lock. */
async function readHolder(path: string): Promise<ProcessIdentity | undefined> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  const nobody: ProcessIdentity = { pid: 0, startTime: "", bootId: "" };
  try {
    return { ...nobody, ...(JSON.parse(text) as Partial<ProcessIdentity>) };
  } catch {
    return nobody;
  }
}

/** Whether a living process holds the lock. */
export async function isLocked(path: string): Promise<boolean> {
  const holder = await readHolder(path);
  return holder !== undefined && isAlive(holder);
}

/**
 * Removes a dead holder's lock. Two takers must not do it both: the second would remove the first one's new lock.
 * Returns whether it was there and was removed.
 */
export async function removeStale(path: string): Promise<boolean> {
  const takeover = `${path}.takeover`;
  try {
    await mkdir(takeover);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return false; // nothing was ever locked there
    if (code !== "EEXIST") throw error;
    const age = await stat(takeover).then(
      ({ mtimeMs }) => Date.now() - mtimeMs,
      () => 0,
    );
    if (age > TAKEOVER_STALE_MS) await rmdir(takeover).catch(() => {}); // another one was faster
    return false;
  }
  try {
    const holder = await readHolder(path);
    const stale = holder !== undefined && !isAlive(holder);
    if (stale) await rm(path, { force: true });
    return stale;
  } finally {
    await rmdir(takeover).catch(() => {}); // taken for stale by another one
  }
}
