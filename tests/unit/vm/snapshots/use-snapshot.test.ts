import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { SmolVMError } from "../../../../src/errors.ts";
import { makeWorkDir, publishSnapshot, setAside } from "../../../../src/snapshots/snapshots.ts";
import { useSnapshot } from "../../../../src/vm/snapshots/use-snapshot.ts";

let dataDir: string;
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), "smolvm-use-snapshot-"));
  make(1);
});
afterEach(() => rmSync(dataDir, { recursive: true }));

function make(createdAt: number): void {
  const work = makeWorkDir({ dataDir }, "maker");
  writeFileSync(work.manifest, JSON.stringify({ format: 1, name: "ready", createdAt }));
  publishSnapshot({ dataDir }, work, "ready");
}

const failure = new SmolVMError("HOST_FAILED", "some program found no file");
const failing = (meanwhile: () => void, error: Error = failure) =>
  useSnapshot({ dataDir }, "ready", async () => {
    meanwhile();
    throw error;
  });

test("what fails because the snapshot was removed meanwhile says so", async () => {
  const remove = () => renameSync(setAside({ dataDir }, "ready", "remover"), join(dataDir, "gone"));
  await expect(failing(remove)).rejects.toMatchObject({ code: "SNAPSHOT_NOT_FOUND" });
});

test("and where another has its name by then", async () => {
  const replace = () => {
    rmSync(setAside({ dataDir }, "ready", "remover"), { recursive: true });
    make(2);
  };
  await expect(failing(replace)).rejects.toMatchObject({
    code: "SNAPSHOT_NOT_FOUND",
    message: "snapshot 'ready' was removed, and another has its name",
    cause: failure,
  });
});

test("any other failure is told as it is, and so is a call that was given up", async () => {
  await expect(failing(() => {})).rejects.toBe(failure);
  const aborted = new SmolVMError("ABORTED", "was aborted");
  const remove = () => rmSync(setAside({ dataDir }, "ready", "remover"), { recursive: true });
  await expect(failing(remove, aborted)).rejects.toBe(aborted);
  await expect(useSnapshot({ dataDir }, "ready", async () => {})).rejects.toMatchObject({
    code: "SNAPSHOT_NOT_FOUND",
  });
});
