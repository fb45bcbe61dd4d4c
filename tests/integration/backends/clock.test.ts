import { expect, test } from "vitest";
import { QmpClient } from "../../../src/backends/qemu/qmp-client.ts";
import { SmolVM } from "../../../src/index.ts";
import { Deadline } from "../../../src/util/deadline.ts";
import { filesOf, openHome } from "../../../src/vm/home.ts";
import { small } from "../../helpers/backends.ts";
import { cli } from "../../helpers/cli.ts";
import { useTempHome } from "../../helpers/home.ts";
import { until } from "../../helpers/wait.ts";

useTempHome();

/** How long machines stand still here: more than the guest tolerates, and than a command takes. */
const STILL_MS = 8_000;
/** What a busy host may need between the guest's reading of its clock and ours. */
const NEAR_MS = 4_000;

async function standStill(): Promise<void> {
  const end = performance.now() + STILL_MS;
  await until("the machine has stood still for a while", () => performance.now() > end);
}

/** How far the guest's wall clock is behind ours, in ms; what the answer takes on its way makes it more, never less. */
async function behindMs(vm: SmolVM): Promise<number> {
  const { stdout } = await vm.run("date +%s%3N");
  return Date.now() - Number(stdout);
}

/** Stops the machine's time as well as its CPUs, as a host that sleeps does. */
async function pauseMachine(vm: SmolVM): Promise<void> {
  const control = filesOf(openHome(), vm.id).control;
  const deadline = Deadline.of("pausing", { timeoutMs: 60_000 });
  const qmp = await QmpClient.connect(control, deadline);
  await qmp.execute("stop", undefined, deadline);
  await standStill();
  await qmp.execute("cont", undefined, deadline);
  qmp.close();
}

test("the guest's clock is right for the next command after its machine stood still", async () => {
  await using vm = await SmolVM.create(small("qemu", { name: "sleeper" }));
  expect(await behindMs(vm)).toBeLessThan(NEAR_MS);

  const { pid } = await vm.info();
  process.kill(pid!, "SIGSTOP");
  await standStill();
  process.kill(pid!, "SIGCONT");
  expect(await behindMs(vm), "after the VMM was stopped").toBeLessThan(NEAR_MS);

  const uptime = async (): Promise<number> =>
    Number((await vm.run("cut -d' ' -f1 /proc/uptime")).stdout) * 1000;
  const [before, began] = [await uptime(), performance.now()];
  await pauseMachine(vm);
  expect(await behindMs(vm), "on the session that was open").toBeLessThan(NEAR_MS);
  const ran = (await uptime()) - before;
  expect(performance.now() - began - ran, "its time did stand still").toBeGreaterThan(STILL_MS / 2);

  await pauseMachine(vm);
  const run = await cli(["exec", "sleeper", "--", "date", "+%s%3N"]);
  expect(Date.now() - Number(run.text), "by another process's session").toBeLessThan(NEAR_MS);

  // Who sets the guest's clock wrong on purpose keeps that, and still does not lose the time that it stood still.
  await vm.run("date -s @$(($(date +%s) - 1000000))", { check: true });
  expect(Math.abs((await behindMs(vm)) - 1e9)).toBeLessThan(NEAR_MS);
  await pauseMachine(vm);
  expect(Math.abs((await behindMs(vm)) - 1e9), "relative to what was set").toBeLessThan(NEAR_MS);
});
