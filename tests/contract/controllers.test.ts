import { describe, expect, test } from "vitest";
import { commandsText } from "../../src/cli/commands/info.ts";
import { SmolVM } from "../../src/index.ts";
import { BACKENDS, small } from "../helpers/backends.ts";
import { useTempHome } from "../helpers/home.ts";

useTempHome();

const ALL = ["cpu", "memory", "pids", "io"] as const;
/** A limit that needs the controller. */
const LIMIT = { memory: { memoryMib: 50 }, pids: { pids: 100 } } as const;

describe.each(BACKENDS)("a guest whose kernel lacks a controller on %s", (backend) => {
  test.each(["memory", "pids", "memory,pids", "cpu,io"])("%s", async (disabled) => {
    const missing = disabled.split(",");
    const options = small(backend, { bootArgs: `cgroup_disable=${disabled}` });
    await using vm = await SmolVM.create(options);
    const { commands } = await vm.info();
    expect(new Set(commands!.controllers)).toEqual(new Set(ALL.filter((name) => !missing.includes(name))));
    expect(commands!.all.memoryMib === undefined).toBe(missing.includes("memory"));
    expect(commands!.each.pids === undefined).toBe(missing.includes("pids"));
    expect(commandsText(commands)).toContain(`has no cgroup controller ${missing.join(", ")}`);

    // What cannot be kept is refused, not ignored; what can be is kept.
    for (const name of ["memory", "pids"] as const) {
      const asked = vm.run(`cat /sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup)/${name}.max`, {
        limits: LIMIT[name],
        check: true,
      });
      if (missing.includes(name)) {
        await expect(asked).rejects.toMatchObject({
          code: "NOT_SUPPORTED",
          message: expect.stringContaining(`no cgroup controller '${name}'`),
        });
        await expect(SmolVM.create({ ...options, limits: LIMIT[name] })).rejects.toMatchObject({
          code: "NOT_SUPPORTED",
          message: expect.stringContaining(`no cgroup controller '${name}'`),
        });
      } else expect(Number((await asked).stdout)).toBe(name === "pids" ? 100 : 50 * 2 ** 20);
    }
    expect(await SmolVM.list()).toHaveLength(1); // those that were refused are not there

    expect((await vm.run("echo hi")).stdout).toBe("hi\n");
    // What commands leave is counted and killed all the same.
    await vm.run("sleep 1000 & setsid sleep 1001 &");
    const [left] = (await vm.processes.list()).filter(({ running }) => !running);
    expect(left).toMatchObject({ processes: 2 });
    await vm.processes.kill(left!.id, "SIGKILL", { tree: true });
    expect(await vm.processes.list()).toEqual([]);
  });
});
