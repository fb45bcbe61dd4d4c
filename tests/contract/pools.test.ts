import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { SandboxPool, SmolVM } from "../../src/index.ts";
import { BACKENDS, small } from "../helpers/backends.ts";
import { cli } from "../helpers/cli.ts";
import { processesNaming, useTempHome } from "../helpers/home.ts";
import { changeStore } from "../helpers/store-file.ts";
import { until } from "../helpers/wait.ts";

const home = useTempHome();

/** What must be each machine's own. */
async function identity(vm: SmolVM): Promise<string[]> {
  const { stdout } = await vm.run(
    "cat /etc/machine-id /run/smolvm/generation /proc/sys/kernel/random/uuid; hostname",
  );
  return stdout.trim().split("\n");
}

const waiting = async (pool: string): Promise<number> =>
  (await SmolVM.pools.list()).find(({ name }) => name === pool)?.ready ?? 0;

describe.each(BACKENDS)("a pool of this process's on %s", (backend) => {
  test("hands out sandboxes that are ready, each with an identity of its own, and fills itself again", async () => {
    await using pool = new SandboxPool({ ...small(backend), size: 2, env: { FROM: "the pool" } });
    await pool.filled();
    expect(pool.ready).toBe(2);
    expect(await SmolVM.list()).toEqual([]); // what waits is nobody's
    const before = (await SmolVM.list({ pool: pool.name })).map(({ id }) => id);

    const first = await pool.take({ name: "first", labels: { job: 1 } });
    expect(await first.info()).toMatchObject({
      name: "first",
      hostname: "first",
      labels: { job: 1 },
      lifetime: "owner",
      pool: undefined,
    });
    expect(before).toContain(first.id);
    expect((await first.run("echo $FROM; hostname")).stdout).toBe("the pool\nfirst\n");
    const second = await pool.take();
    const third = await pool.take(); // it is made now
    const identities = await Promise.all([first, second, third].map(identity));
    for (const column of identities[0]!.keys())
      expect(new Set(identities.map((lines) => lines[column])).size).toBe(3);
    await pool.filled();
    expect((await SmolVM.list()).map(({ name }) => name).sort()).toEqual(
      [first, second, third].map(({ name }) => name).sort(),
    );
    await expect(pool.take({ name: "first" })).rejects.toMatchObject({ code: "VM_NAME_TAKEN" });
    await expect(pool.take({ image: "debian" } as object)).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    await pool.drain();
    await pool.drain(); // fine
    await expect(pool.take()).rejects.toMatchObject({ code: "POOL_NOT_FOUND" });
    expect((await first.run("echo there")).stdout).toBe("there\n"); // what was taken stays
    for (const vm of [first, second, third]) await vm.delete();
    expect(processesNaming(home)).toEqual([]);
  });

  test("passes over one that has died while it waited", async () => {
    await using pool = new SandboxPool({ ...small(backend), size: 1 });
    await pool.filled();
    const [dead] = await SmolVM.list({ pool: pool.name });
    process.kill(dead!.pid!, "SIGKILL");
    await using vm = await pool.take();
    expect(vm.id).not.toBe(dead!.id);
    expect((await vm.run("echo alive")).stdout).toBe("alive\n");
  });

  test("says why it cannot be filled, to who waits and to who asks", async () => {
    await using pool = new SandboxPool({ ...small(backend), size: 1, image: "no-such-image", pull: "never" });
    await expect(pool.filled()).rejects.toMatchObject({ code: "IMAGE_NOT_FOUND" });
    await expect(pool.take()).rejects.toMatchObject({ code: "IMAGE_NOT_FOUND" });
    expect(await SmolVM.pools.list()).toMatchObject([{ ready: 0, failure: { code: "IMAGE_NOT_FOUND" } }]);
  });

  test.each<[string, object]>([
    ["size 0", { size: 0 }],
    ["no size", {}],
    ["a name for all", { size: 1, name: "x" }],
    ["ports", { size: 1, ports: [{ guestPort: 80 }] }],
    ["a drive that all write to", { size: 1, extraDrives: [{ path: "/tmp/x" }] }],
    ["an unknown option", { size: 1, imge: "debian" }],
  ])("refuses %s", (_, options) => {
    expect(() => new SandboxPool({ ...small(backend), ...options } as never)).toThrow(
      expect.objectContaining({ code: "CONFIG_INVALID" }),
    );
  });
});

describe.each(BACKENDS)("a pool of the supervisor's on %s", (backend) => {
  afterEach(async () => {
    for (const { name, keeper } of await SmolVM.pools.list())
      if (keeper === undefined) await SmolVM.pools.delete(name);
    for (const vm of await SmolVM.list()) await SmolVM.from(vm).delete({ force: true });
  });

  test("is filled in the background, serves other processes, and goes with what waits in it", async () => {
    const shape = ["--backend", backend, "--memory", "256M", "--network", "off"];
    expect((await cli(["pool", "create", "--name", "web", "--size", "2", ...shape])).text).toBe("web\n");
    expect((await cli(["pool", "create", "--name", "web", ...shape])).stderr).toContain("smolvm pool rm web");
    await until("it is full", async () => (await waiting("web")) === 2);
    const run = await cli([
      "run",
      "--pool",
      "web",
      "-e",
      "WHO=me",
      "-w",
      "/tmp",
      "--",
      "sh",
      "-c",
      "echo $WHO $PWD",
    ]);
    expect(run).toMatchObject({ text: "me /tmp\n", code: 0 });
    expect(await SmolVM.list()).toEqual([]); // what was taken for a run ends with it
    await until("it is full again", async () => (await waiting("web")) === 2);
    const kept = await SmolVM.take("web", { name: "kept", lifetime: "detached" });
    await kept[Symbol.asyncDispose]();
    expect((await cli(["exec", "kept", "--", "hostname"])).text).toBe("kept\n");
    expect((await cli(["run", "--pool", "web", "--memory", "1G", "--", "true"])).stderr).toContain(
      "--memory cannot be chosen with --pool",
    );
    expect((await cli(["run", "--pool", "none", "--", "true"])).stderr).toContain(
      "smolvm pool create --name none",
    );
    expect((await cli(["pool", "ls"])).text).toMatch(/^web +[12]\/2 /m);
    await SmolVM.pools.delete("web");
    expect(await SmolVM.pools.list()).toEqual([]);
    await expect(SmolVM.pools.delete("web")).rejects.toMatchObject({ code: "POOL_NOT_FOUND" });
    expect((await cli(["exec", "kept", "--", "echo", "still"])).text).toBe("still\n");
    await kept.delete({ force: true });
    await until("nothing is left", () => processesNaming(`${home}/data`).length === 0);
  });

  test("what waits in one that is gone is removed by gc, and a process's pool that was killed leaves nothing", async () => {
    await SmolVM.pools.create({ ...small(backend), name: "it", size: 1 });
    await until("it is full", async () => (await waiting("it")) === 1);
    await cli(["supervisor", "stop"]);
    changeStore(home, "DELETE FROM pools");
    await cli(["gc"]); // or a supervisor that was just ending
    expect(await SmolVM.list({ pool: "it" })).toEqual([]);

    const program = `import { SandboxPool } from ${JSON.stringify(join(import.meta.dirname, "../../src/index.ts"))};
      const pool = new SandboxPool(${JSON.stringify({ ...small(backend), size: 1 })});
      await pool.filled();
      process.kill(process.pid, "SIGKILL");`;
    const [, signal] = await once(
      spawn(process.execPath, ["--input-type=module-typescript", "-e", program]),
      "exit",
    );
    expect(signal).toBe("SIGKILL");
    expect(await SmolVM.pools.list()).toEqual([]);
    await cli(["gc"]);
    expect((await cli(["gc"])).text).toBe("Nothing was left behind.\n");
    expect(processesNaming(`${home}/data`)).toEqual([]);
  });

  test("goes on when its supervisor was killed, and leaves no sandbox half made", async () => {
    await SmolVM.pools.create({ ...small(backend), name: "it", size: 1 });
    const supervisor = async (): Promise<number | undefined> =>
      (JSON.parse((await cli(["supervisor", "status", "--json"])).text) as { data: { pid?: number } }).data
        .pid;
    const first = await supervisor();
    process.kill(first!, "SIGKILL");
    await cli(["ls"]); // any command finds that it is missing
    await until("it is full", async () => (await waiting("it")) === 1);
    const vm = await SmolVM.take("it");
    expect((await vm.run("echo hi")).stdout).toBe("hi\n");
    const second = await until("another supervisor", supervisor); // the sandbox may be the first's
    expect(second).not.toBe(first);
    // What is left of one that is deleted is the supervisor's to remove, when it can.
    process.kill(second, "SIGSTOP");
    const { pid } = await vm.info();
    try {
      await vm.delete({ behind: true });
      expect(existsSync(join(home, "data/smolvm/vms", vm.id))).toBe(true);
    } finally {
      process.kill(second, "SIGCONT");
    }
    await until("it is removed", () => !existsSync(join(home, "data/smolvm/vms", vm.id)));
    expect(() => process.kill(pid!, 0)).toThrow();
    expect(await SmolVM.list()).toEqual([]);
  });
});
