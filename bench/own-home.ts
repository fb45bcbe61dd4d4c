import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Runs `act` with a home of its own, so that nothing of the user's is touched; images come from the user's cache. */
export async function withOwnHome(act: () => Promise<void>): Promise<void> {
  const home = mkdtempSync(join(tmpdir(), "smb-"));
  process.env.XDG_DATA_HOME = join(home, "data");
  process.env.XDG_RUNTIME_DIR = join(home, "run");
  process.env.SMOLVM_TEMPLATE = "off"; // but where a row is about templates
  mkdirSync(process.env.XDG_RUNTIME_DIR, { mode: 0o700 });
  try {
    await act();
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}
