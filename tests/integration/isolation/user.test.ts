import { readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { processGuards } from "../../../src/host/process/process-guards.ts";
import { isAlive, signalProcess } from "../../../src/host/process/process-identity.ts";
import { SmolVM } from "../../../src/smolvm.ts";
import { small } from "../../helpers/backends.ts";
import { enclosedTests, pidOf, recordOf } from "../../helpers/enclosed.ts";
import { processesNaming, useTempHome } from "../../helpers/home.ts";
import { filesSeenBy } from "../../helpers/inside.ts";
import { ordinaryUserTest } from "../../helpers/ordinary-user.ts";
import { until } from "../../helpers/wait.ts";

/** The VMM is QEMU, emulating: the tier is the same with any. A machine that cannot give it fails here, with the reason. */
const home = useTempHome();
const config = () => small("qemu", { image: "minimal", isolation: "user" });

describe("in the tier user, a VMM without a network", () => enclosedTests(home, config));

test("a VMM with a network that is open has one of its own, and with an unfiltered one this machine's, and all else as well", async () => {
  await using filtered = await SmolVM.create({ ...config(), network: "open" });
  await filtered.start();
  expect((await filtered.info()).network).toMatchObject({ way: "namespace", whyNotNext: undefined });
  const guards = processGuards(await pidOf(filtered))!;
  expect(guards.ownNamespaces).toEqual(expect.arrayContaining(["ipc", "mnt", "net", "pid", "uts"]));
  expect(guards.capable).toBe(false);
  expect(filesSeenBy(await pidOf(filtered))).not.toContain("/etc/resolv.conf");
  await using vm = await SmolVM.create({ ...config(), network: { mode: "open", unfiltered: true } });
  await vm.start();
  const pid = await pidOf(vm);
  expect(processGuards(pid)!.ownNamespaces).not.toContain("net");
  expect(processGuards(pid)!.ownNamespaces).toEqual(expect.arrayContaining(["ipc", "mnt", "pid", "uts"]));
  expect(filesSeenBy(pid)).toContain("/etc/resolv.conf");
});

test("what is killed is found with its signal written down, and nothing stays behind", async () => {
  const vm = await SmolVM.create({ ...config(), lifetime: "detached" });
  await vm.start();
  const { vmm } = recordOf(vm);
  expect(readlinkSync(`/proc/${vmm!.pid}/exe`)).toContain("qemu-system");
  process.kill(vmm!.pid, "SIGKILL");
  await until("the monitor has ended", () => !isAlive(vmm!.monitor));
  const exit = readFileSync(join(home, "data", "smolvm", "vms", vm.id, "exit.json"), "utf8");
  expect(JSON.parse(exit)).toMatchObject({ pid: vmm!.pid, code: null, signal: 9 });
  expect(processesNaming(vm.id)).toEqual([]);
  await vm.delete({ force: true });
});

test("the VMM and what is around it die with their monitor", async () => {
  const vm = await SmolVM.create({ ...config(), lifetime: "detached" });
  await vm.start();
  const { vmm } = recordOf(vm);
  signalProcess(vmm!.monitor, "SIGKILL");
  await until("all have ended", () => processesNaming(vm.id).length === 0);
  await vm.delete({ force: true });
});

test("what is around a killed VMM and does not end by itself is ended by whoever looks next", async () => {
  const vm = await SmolVM.create({ ...config(), lifetime: "detached" });
  await vm.start();
  const { vmm } = recordOf(vm);
  const around = processesNaming(vm.id)
    .map((line) => Number.parseInt(line, 10))
    .filter((pid) => pid !== vmm!.pid && pid !== vmm!.monitor.pid);
  expect(around.length).toBeGreaterThan(0);
  for (const pid of around) process.kill(pid, "SIGSTOP");
  process.kill(vmm!.pid, "SIGKILL");
  await until("it is dead", () => !isAlive(vmm!));
  expect((await vm.info()).state).toBe("error");
  await until("all have ended", () => processesNaming(vm.id).length === 0);
  await vm.delete();
});

test("without bubblewrap a sandbox that wants it is refused, and any other runs and says why it has none", async () => {
  const { PATH } = process.env;
  process.env.PATH = join(home, "nowhere");
  try {
    await expect(SmolVM.create(config())).rejects.toMatchObject({
      code: "ISOLATION_UNAVAILABLE",
      message: expect.stringContaining("bubblewrap is not installed"),
      hint: expect.stringMatching(/^Install it: |^Install bubblewrap/),
    });
    await using vm = await SmolVM.create({ ...config(), isolation: "auto" });
    await vm.start();
    expect((await vm.info()).isolation).toMatchObject({
      tier: "none",
      whyNotNext: expect.stringContaining("bubblewrap"),
    });
    expect(processGuards(await pidOf(vm))!.ownNamespaces).toEqual([]);
  } finally {
    process.env.PATH = PATH;
  }
});

test("an ordinary user's VMM is that user's, and a jail is for root to make", () => ordinaryUserTest("qemu"));
