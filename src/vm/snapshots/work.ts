import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { identify } from "../../host/process/process-identity.ts";
import { MAKER_FILE, type SavedFiles } from "../../snapshots/saved.ts";
import { makeWorkDir } from "../../snapshots/snapshots.ts";
import type { Home } from "../home.ts";
import { newId } from "../lifecycle/names.ts";

/** Runs `act` with a directory for what is in the making; what is still there afterwards is removed. */
export async function withWorkDir<T>(
  { paths }: Home,
  act: (work: SavedFiles, publish: () => void) => Promise<T>,
): Promise<T> {
  const work = makeWorkDir(paths, newId());
  const maker = join(work.dir, MAKER_FILE);
  try {
    writeFileSync(maker, JSON.stringify(identify(process.pid)), { mode: 0o600 });
    return await act(work, () => rmSync(maker));
  } finally {
    rmSync(work.dir, { recursive: true, force: true });
  }
}
