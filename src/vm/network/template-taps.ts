import { existsSync } from "node:fs";
import { isAlive } from "../../host/process/process-identity.ts";
import { templateLayout } from "../../snapshots/layout.ts";
import { openStore, storePath } from "../../store/store.ts";
import type { Deadline } from "../../util/deadline.ts";
import { monotonicMs } from "../../util/monotonic.ts";
import type { Home } from "../home.ts";

/** A template's machine has a tap while it boots and runs one command. Most time to wait for that, in ms. */
const MAKING_MS = 60_000;
const LOOK_MS = 100;
/** A tap that was just given back is open until its machine has ended: so long it is looked for all the same, in ms. */
const CLOSING_MS = 1_500;

/**
 * Tries again and again as long as a template is being made whose machine has a tap: nobody asked for that one, it is gone in seconds,
 * and who wants a sandbox must not hear that all taps are in use because of it.
 * @param act what is tried; undefined: in vain
 * @throws SmolVMError TIMEOUT, ABORTED
 */
export async function whileTemplateHasTap<T>(
  home: Pick<Home, "paths">,
  act: () => T | undefined,
  deadline: Deadline,
): Promise<T | undefined> {
  const workshop = templateLayout(home.paths).home;
  if (home.paths.dataDir === workshop || !existsSync(storePath(workshop))) return undefined;
  const end = monotonicMs() + MAKING_MS;
  let until = monotonicMs() + CLOSING_MS;
  for (;;) {
    if (templateHasTap(workshop)) until = Math.min(end, monotonicMs() + CLOSING_MS);
    if (monotonicMs() >= until) return undefined;
    await deadline.sleep(LOOK_MS);
    const done = act();
    if (done !== undefined) return done;
  }
}

function templateHasTap(workshop: string): boolean {
  try {
    const store = openStore(workshop);
    try {
      // One whose maker was killed goes when the next comes; it is not waited for.
      const makers = [...store.taps.byVm().keys()].map((id) => store.vms.find(id)?.owner);
      return makers.some((maker) => maker != null && isAlive(maker));
    } finally {
      store.close();
    }
  } catch {
    return false; // another version's, or damaged: the next maker clears it away
  }
}
