import { mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import type { VmSpec } from "../../config/spec.ts";
import { startDaemon } from "../../host/process/daemon.ts";
import { isLocked } from "../../images/store/build-lock.ts";
import { templateLayout } from "../../snapshots/layout.ts";
import type { Home } from "../home.ts";
import { supervisorAllowed } from "../start-supervisor.ts";
import { templateSpec } from "./plan.ts";

/** The program that makes a template. */
const MAKER_SCRIPT = "supervisor/make-template";

/** After a failure it is not tried again for so long, in ms: what failed costs a boot each time. */
const RETRY_AFTER_MS = 10 * 60_000;

/**
 * Has the template for such sandboxes made in the background, by a process that outlives this one and gives way to all others. Where
 * that cannot be, nothing is said: what the user wants works without.
 */
export async function makeTemplateLater({ paths }: Home, like: VmSpec, key: string): Promise<void> {
  if (!supervisorAllowed()) return;
  const layout = templateLayout(paths);
  if (failedLately(layout.failure(key)) || (await isLocked(layout.lock(key)))) return;
  try {
    mkdirSync(layout.root, { recursive: true, mode: 0o700 });
    startDaemon(MAKER_SCRIPT, join(layout.root, "make.log"), process.env, [
      JSON.stringify(templateSpec(like)),
    ]);
  } catch {
    // a full disk, a cache that cannot be written
  }
}

function failedLately(path: string): boolean {
  const failed = statSync(path, { throwIfNoEntry: false });
  return failed !== undefined && Date.now() - failed.mtimeMs < RETRY_AFTER_MS;
}
