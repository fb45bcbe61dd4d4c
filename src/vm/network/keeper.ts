import type { Home } from "../home.ts";

/** What serves something of one sandbox, for as long as that runs. */
export interface Keeper {
  /** Begins. */
  open(): Promise<void>;
  close(): void;
}

/** After a session has ended, or while somebody else has what is to be served: how soon to try again, in ms. */
const AGAIN_MS = 500;

/**
 * Serves again after a moment, and after each failure once more, as long as the sandbox runs: the session that was served over has ended, and its
 * machine may have, too.
 * @param isClosed whether nothing is to be served any more
 */
export function serveAgain(
  home: Home,
  id: string,
  isClosed: () => boolean,
  serve: () => Promise<void>,
): void {
  if (isClosed()) return;
  const timer = setTimeout(() => {
    if (isClosed() || home.store.vms.find(id)?.state !== "running") return;
    serve().catch(() => serveAgain(home, id, isClosed, serve));
  }, AGAIN_MS);
  timer.unref();
}
