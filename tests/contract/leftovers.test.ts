import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ProcessInfo, SmolVM } from "../../src/index.ts";
import { BACKENDS, small } from "../helpers/backends.ts";
import { useTempHome } from "../helpers/home.ts";
import { scaled } from "../helpers/speed.ts";
import { until } from "../helpers/wait.ts";
import { threadCount } from "./hostile-loads.ts";

useTempHome();

describe.each(BACKENDS)("what commands leave behind on %s", (backend) => {
  let vm: SmolVM;
  beforeAll(async () => {
    vm = await SmolVM.create(small(backend));
  });
  afterAll(() => vm.delete({ force: true }));

  const left = async (): Promise<ProcessInfo[]> =>
    (await vm.processes.list()).filter(({ running, processes }) => !running && processes !== 0);
  /** Cgroups in which there are processes, but for that of the command that asks. */
  const populated = async (): Promise<number> =>
    Number((await vm.run("cat /sys/fs/cgroup/smolvm/*/cgroup.events | grep -c 'populated 1'")).stdout) - 1;
  const killed = (id: number): Promise<void> => vm.processes.kill(id, "SIGKILL", { tree: true });

  test("is listed with its number, and killed with the kernel's word that nothing is left", async () => {
    expect(await vm.run("setsid sleep 1000 & sleep 1001 & exit 4")).toMatchObject({ exitCode: 4 });
    const [found, ...more] = await left();
    expect(more).toEqual([]);
    expect(found).toMatchObject({ running: false, exitCode: 4, processes: 2, user: "root", detached: false });
    expect(found!.argv.join(" ")).toContain("sleep 1001");
    // It has ended itself: only what it left can be meant.
    await expect(vm.processes.kill(found!.id)).rejects.toMatchObject({ code: "PROCESS_NOT_FOUND" });
    expect(await populated()).toBe(1);
    await killed(found!.id);
    expect(await left()).toEqual([]);
    expect(await populated()).toBe(0);
    await expect(killed(found!.id)).rejects.toMatchObject({ code: "PROCESS_NOT_FOUND" });
  });

  test("is listed no longer when it has ended by itself, or by another signal", async () => {
    await vm.run("sleep 0.3 & sleep 1000 &");
    expect(await left()).toMatchObject([{ processes: 2 }]);
    await until("one of them has ended", async () => (await left())[0]?.processes === 1);
    await vm.processes.kill((await left())[0]!.id, "SIGTERM", { tree: true });
    await until("both have", async () => (await left()).length === 0);
    await vm.run("true");
    expect(await populated()).toBe(0);
  });

  test("lives on, as ever, while its cgroup is nobody else's", async () => {
    await vm.run("sleep 1000 &");
    const [{ id }] = (await left()) as [ProcessInfo];
    for (let i = 0; i < 8; i++) {
      // Beside it: it would be killed with a command that had its cgroup.
      await expect(vm.run("sleep 100", { timeoutMs: 100 })).rejects.toMatchObject({ code: "RUN_TIMEOUT" });
    }
    expect(await left()).toMatchObject([{ id, processes: 1 }]);
    await killed(id);
  });

  test("of a detached command is listed with it", async () => {
    const { id } = await vm.spawn("sleep 1000 & echo done", { detached: true }).started;
    await until("it has ended", async () => (await left()).length === 1);
    expect(await left()).toMatchObject([{ id, exitCode: 0, detached: true, processes: 1 }]);
    await killed(id);
    expect(await left()).toEqual([]);
    const entry = (await vm.processes.list()).find((process) => process.id === id);
    expect(entry).toMatchObject({ running: false, processes: 0 });
  });

  test("can be a fork bomb, whose command ends at once", async () => {
    const before = await threadCount(vm);
    const timeoutMs = scaled(10_000);
    await vm.run("f(){ f|f& };f", { timeoutMs });
    await until("it has grown", async () => ((await left())[0]?.processes ?? 0) > 100);
    expect((await vm.run("echo hi", { timeoutMs })).stdout).toBe("hi\n");
    await killed((await left())[0]!.id);
    expect(await left()).toEqual([]);
    expect(await populated()).toBe(0);
    await until("its processes are reaped", async () => (await threadCount(vm)) <= before + 2);
  });

  test("a command that runs is killed with all it started, and its own answer tells", async () => {
    const run = vm.run("setsid sleep 1000 & sleep 1001 & wait");
    const ended = expect(run).resolves.toMatchObject({ signal: "SIGKILL", ok: false });
    const [entry] = await until("it runs", async () => {
      const list = (await vm.processes.list()).filter(({ processes }) => processes === 3);
      return list.length === 1 ? list : undefined;
    });
    await Promise.all([killed(entry!.id), killed(entry!.id)]); // who comes second is told the same
    expect(await populated()).toBe(0);
    await ended;
  });
});
