/**
 * Jails, and what is around a Firecracker: for root, on a host with cgroup v2 and a KVM. The tier user of QEMU is tried
 * everywhere: tests/integration/isolation/.
 */
import { chmodSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { homeHash } from "../../../src/host/files/paths.ts";
import { cgroupsOf, limitsInForce, listCgroups } from "../../../src/host/linux/cgroup.ts";
import { processGuards } from "../../../src/host/process/process-guards.ts";
import { SmolVM } from "../../../src/smolvm.ts";
import { BACKENDS, small } from "../../helpers/backends.ts";
import { cliJson } from "../../helpers/cli.ts";
import { enclosedTests, pidOf, recordOf } from "../../helpers/enclosed.ts";
import { processesNaming, useTempHome } from "../../helpers/home.ts";
import { KVM_GROUP, openKvmTo } from "../../helpers/kvm-group.ts";
import { ordinaryUserTest } from "../../helpers/ordinary-user.ts";
import { until } from "../../helpers/wait.ts";

const home = useTempHome();
const cgroups = cgroupsOf(homeHash(join(home, "data", "smolvm")));
beforeAll(() => openKvmTo("group"));
afterAll(() => expect(existsSync(cgroups)).toBe(false));

describe.each(BACKENDS)("on %s, a VMM in a jail", (backend) => {
  const config = () => small(backend, { image: "minimal", isolation: "jail" });

  // A describe of its own: what its sandboxes have is gone before what follows looks.
  describe("seen from inside", () => enclosedTests(home, config));

  test("has a uid of its own, which its files have too, and is within limits", async () => {
    const vms = await Promise.all([SmolVM.create(config()), SmolVM.create(config())]);
    try {
      const infos = await Promise.all(vms.map((vm) => vm.info()));
      const uids = infos.map(({ pid }) => processGuards(pid!)!.uid);
      expect(new Set(uids).size).toBe(2);
      for (const [n, { id, pid, isolation, memSizeMib, vcpuCount }] of infos.entries()) {
        expect(isolation).toMatchObject({ tier: "jail", uid: uids[n], whyNotNext: undefined });
        expect(uids[n]).toBeGreaterThanOrEqual(0x7000_0000);
        const limit = (file: string): string => readFileSync(join(cgroups, id, file), "utf8").trim();
        const extra = backend === "qemu" ? 384 : 128;
        expect(limitsInForce(pid!)).toEqual({
          memoryMib: memSizeMib + extra,
          cpus: vcpuCount + 1,
          pids: vcpuCount + 128,
        });
        expect(limit("memory.max")).toBe(String((memSizeMib + extra) * 2 ** 20));
        expect(limit("cpu.max")).toBe(`${(vcpuCount + 1) * 100_000} 100000`);
        expect(limit("pids.max")).toBe(String(vcpuCount + 128));
        expect(limit("cgroup.procs").split("\n")).toContain(String(pid));
        expect(readFileSync(`/proc/${pid}/status`, "utf8")).toMatch(
          new RegExp(`^Groups:\\s*(${KVM_GROUP})?\\s*$`, "m"),
        );
      }
    } finally {
      for (const vm of vms) await vm.delete({ force: true });
    }
    expect(listCgroups(cgroups)).toEqual([]);
  });

  test("keeps its uid and its disk over stop and start, and leaves no cgroup, chroot or mount", async () => {
    const vm = await SmolVM.create({ ...config(), lifetime: "detached" });
    await vm.run("echo mine > /root/mine", { check: true });
    const { uid } = (await vm.info()).isolation;
    const mounts = readFileSync("/proc/self/mounts", "utf8");
    expect(mounts).not.toContain(vm.id);
    await vm.stop();
    expect(listCgroups(cgroups)).toEqual([]);
    expect(readdirSync(join(home, "data", "smolvm", "vms", vm.id))).not.toContain("jail");
    await vm.start();
    expect((await vm.run("cat /root/mine")).stdout).toBe("mine\n");
    expect((await vm.info()).isolation.uid).toBe(uid);
    await vm.delete({ force: true });
  });

  test("dies with its monitor, and is cleared up by the next command", async () => {
    const vm = await SmolVM.create({ ...config(), lifetime: "detached" });
    await vm.start();
    process.kill(recordOf(vm).vmm!.monitor.pid, "SIGKILL");
    await until("all have ended", () => processesNaming(vm.id).length === 0);
    expect((await cliJson(["ls"])).data).toMatchObject([{ name: vm.name, state: "error" }]);
    expect(listCgroups(cgroups)).toEqual([]);
    await vm.delete({ force: true });
  });

  test("with what only root may read is not possible, and says which file it is", async () => {
    const disk = join(home, "closed.img");
    writeFileSync(disk, Buffer.alloc(2 ** 20), { mode: 0o600 });
    const drive = { extraDrives: [{ path: disk }] };
    await expect(SmolVM.create({ ...config(), ...drive })).rejects.toMatchObject({
      code: "ISOLATION_UNAVAILABLE",
      hint: `Open it: chmod o+rw '${disk}'`,
    });
    await using vm = await SmolVM.create({ ...config(), ...drive, isolation: "user" });
    await vm.start();
    expect((await vm.info()).isolation).toMatchObject({ tier: "user", uid: undefined });
    chmodSync(disk, 0o666);
    await vm.stop();
    await vm.start();
    expect(processGuards(await pidOf(vm))!.uid).toBeGreaterThan(0);
  });

  test("is what doctor predicts, and proves", async () => {
    const report = await cliJson(["doctor", "--deep", "--backend", backend]);
    // biome-ignore lint/suspicious/noExplicitAny: a check of the report
    const named = (name: string): any =>
      report.data.checks.find((check: { name: string }) => check.name === name);
    expect(named("Isolation")).toMatchObject({ status: "pass", detail: expect.stringMatching(/^jail: /) });
    expect(named("Isolation proven")).toMatchObject({
      status: "pass",
      detail: expect.stringContaining("limits on memory"),
    });
  });
});

test.runIf(BACKENDS.includes("firecracker"))("a Firecracker of an ordinary user is enclosed, too", () =>
  ordinaryUserTest("firecracker"),
);
