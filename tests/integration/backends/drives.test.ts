import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { SmolVM } from "../../../src/index.ts";
import { small } from "../../helpers/backends.ts";
import { cliJson } from "../../helpers/cli.ts";
import { useTempHome } from "../../helpers/home.ts";
import { scaled } from "../../helpers/speed.ts";

useTempHome();
const directory = mkdtempSync(join(tmpdir(), "smolvm-drives-"));
afterAll(() => rmSync(directory, { recursive: true }));
const path = join(directory, "disk.img");
writeFileSync(path, "");
truncateSync(path, 4 << 20);

test("q35 finds its drives by the same names; another home's sandbox cannot have one that is written", async () => {
  await using vm = await SmolVM.create({
    ...small("qemu", { qemuMachine: "q35", extraDrives: [{ path }] }),
    timeoutMs: scaled(60_000),
  });
  expect((await vm.run("blockdev --getsize64 /dev/disk/by-id/virtio-extra-0")).stdout).toBe(`${4 << 20}\n`);
  // The store of that home knows nothing of it: QEMU's lock on the file is what tells.
  const env = { XDG_DATA_HOME: join(directory, "data"), XDG_RUNTIME_DIR: mkdtempSync("/tmp/smt-run-") };
  const run = await cliJson(["run", "--network", "off", "--drive", `${path}:ro`, "--", "true"], { env });
  rmSync(env.XDG_RUNTIME_DIR, { recursive: true });
  expect(run).toMatchObject({ code: 125, error: { code: "DISK_IN_USE" } });
});
