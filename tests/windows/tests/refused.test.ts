/** What a Windows host has not is refused before anything is made, with what to do instead. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { SmolVM } from "../../../src/index.ts";
import { small } from "../../helpers/backends.ts";
import { cli } from "../../helpers/cli.ts";
import { leavesNothing, NOTHING_LEFT, windowsLeftovers } from "../../helpers/windows-home.ts";

leavesNothing();

const LONG = (process.env.SMOLVM_TEST_LONG ?? "") !== "";
let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "smolvm-refused-"));
});
afterAll(() => {
  rmSync(directory, { recursive: true });
});

test("directories of the host", async () => {
  const { code, stderr } = await cli(["run", "--network", "off", "-v", `${directory}:/shared`, "--", "true"]);
  expect(code, stderr).toBe(125);
  expect(stderr).toContain("cannot be mounted on this system");
  expect(stderr).toContain("smolvm cp");
  const mounts = [{ host: directory, guest: "/shared" }];
  await expect(SmolVM.create(small("qemu", { mounts }))).rejects.toMatchObject({ code: "NOT_SUPPORTED" });
  expect(windowsLeftovers()).toEqual(NOTHING_LEFT);
});

test("taps", async () => {
  await expect(SmolVM.create(small("qemu", { network: "open", qemuNetwork: "tap" }))).rejects.toMatchObject({
    code: expect.stringMatching(/NOT_SUPPORTED|NETWORK_/),
    message: expect.stringContaining("tap"),
  });
  expect(windowsLeftovers()).toEqual(NOTHING_LEFT);
});

test("Firecracker, and KVM", async () => {
  await expect(SmolVM.create(small("firecracker"))).rejects.toMatchObject({ code: "BACKEND_UNAVAILABLE" });
  await expect(SmolVM.create(small("qemu", { accelerator: "kvm" }))).rejects.toMatchObject({
    message: expect.stringContaining("Linux"),
  });
});

test.runIf(LONG)("saved memory: snapshots and forks; the disk alone is saved and gone on from", async () => {
  await using vm = await SmolVM.create(small("qemu"));
  const refusal = { code: "NOT_SUPPORTED", message: expect.stringContaining("reached through a relay") };
  await expect(vm.snapshot("it")).rejects.toMatchObject(refusal);
  await expect(vm.fork({ count: 1 })).rejects.toMatchObject(refusal);
  await vm.run("echo saved > /root/file; sync", { check: true });
  await vm.snapshot("disk", { kind: "disk" });
  await using again = await SmolVM.restore("disk");
  expect(await again.files.readText("/root/file")).toBe("saved\n");
  await SmolVM.snapshots.delete("disk");
});
