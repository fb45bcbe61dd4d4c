import { existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openStore } from "../../../src/store/store.ts";

test("the store keeps some room, gives it up when asked, and takes it again when it is next opened", () => {
  const directory = mkdtempSync(join(tmpdir(), "smolvm-ballast-"));
  const ballast = join(directory, "ballast");
  try {
    const store = openStore(directory);
    expect(statSync(ballast).size).toBe(1 << 20);
    store.makeRoom();
    expect(existsSync(ballast)).toBe(false);
    store.close();
    openStore(directory).close();
    expect(statSync(ballast).size).toBe(1 << 20);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
