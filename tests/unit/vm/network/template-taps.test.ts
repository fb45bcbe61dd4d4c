import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { VmSpec } from "../../../../src/config/spec.ts";
import { identify, type ProcessIdentity } from "../../../../src/host/process/process-identity.ts";
import { templateLayout } from "../../../../src/snapshots/layout.ts";
import { openStore, type Store } from "../../../../src/store/store.ts";
import { Deadline } from "../../../../src/util/deadline.ts";
import type { Home } from "../../../../src/vm/home.ts";
import { whileTemplateHasTap } from "../../../../src/vm/network/template-taps.ts";

let cacheDir: string;
let home: Pick<Home, "paths">;
let workshop: Store | undefined;

beforeEach(() => {
  cacheDir = mkdtempSync(join(tmpdir(), "smolvm-taps-"));
  home = { paths: { cacheDir, dataDir: join(cacheDir, "data") } } as Pick<Home, "paths">;
});
afterEach(() => {
  workshop?.close();
  workshop = undefined;
  rmSync(cacheDir, { recursive: true });
});

/** A template is being made by that process, and its machine has the tap. */
function make(maker: ProcessIdentity): void {
  const directory = templateLayout({ cacheDir }).home;
  mkdirSync(directory, { recursive: true });
  workshop = openStore(directory);
  const record = { id: "1", name: "template", labels: {}, owner: maker, expiresAt: undefined };
  workshop.vms.insert({ ...record, spec: { image: "debian" } as VmSpec }, "create:files");
  workshop.vms.complete("1");
  workshop.vms.transition("1", "starting");
  expect(workshop.taps.lease("1", ["smolvm0"])).toBe("smolvm0");
}

const wait = (ms = 10_000): Promise<string | undefined> =>
  whileTemplateHasTap(
    home,
    () => (workshop!.taps.byVm().size === 0 ? "smolvm0" : undefined),
    Deadline.of("it", { timeoutMs: ms }),
  );

test("the tap of a template's machine is waited for", async () => {
  make(identify(process.pid));
  setTimeout(() => workshop!.vms.transition("1", "error"), 350);
  expect(await wait()).toBe("smolvm0");
});

test("that wait has an end, and a template that nobody makes any more none", async () => {
  make(identify(process.pid));
  await expect(wait(250)).rejects.toMatchObject({ code: "TIMEOUT" });
  workshop!.close();
  rmSync(cacheDir, { recursive: true });
  make({ pid: 2 ** 22 - 1, startTime: "1", bootId: "an earlier boot" });
  expect(await wait()).toBeUndefined();
});

test("where no template was ever made nothing is waited for, and nothing made", async () => {
  expect(await whileTemplateHasTap(home, () => "never asked", Deadline.of("it"))).toBeUndefined();
});
