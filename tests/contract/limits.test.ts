import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { SmolVM } from "../../src/index.ts";
import { BACKENDS, small } from "../helpers/backends.ts";
import { useTempHome } from "../helpers/home.ts";
import { until } from "../helpers/wait.ts";

useTempHome();

/** What the guest's kernel says of the cgroup of the command that asks, or of the one around it. */
const ask = (file: string, up = ""): string =>
  `cat /sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup)${up}/${file}`;

describe.each(BACKENDS)("limits of commands on %s", (backend) => {
  let vm: SmolVM;
  beforeAll(async () => {
    vm = await SmolVM.create(small(backend, { limits: { pids: 400, memoryMib: 100 } }));
  });
  afterAll(() => vm.delete({ force: true }));

  const number = async (line: string, options = {}): Promise<number> =>
    Number((await vm.run(line, { ...options, check: true })).stdout);

  test("of the sandbox hold for all together, leave room beside each, and are told by info", async () => {
    expect((await vm.info()).commands).toEqual({
      controllers: expect.arrayContaining(["cpu", "memory", "pids"]),
      all: { pids: 400, memoryMib: 100 },
      each: { pids: 100, memoryMib: 87 },
    });
    expect(await number(ask("pids.max", "/.."))).toBe(400);
    expect(await number(ask("memory.max", "/.."))).toBe(100 * 1024 * 1024);
    expect(await number(ask("pids.max"))).toBe(100);
  });

  test("of one command are its own, and gone with it", async () => {
    const limits = { pids: 7, memoryMib: 40 };
    expect(await number(ask("pids.max"), { limits })).toBe(7);
    expect(await number(ask("memory.max"), { limits })).toBe(40 * 1024 * 1024);
    expect(await number(ask("pids.max"), { limits: { memoryMib: 40 } })).toBe(100);
    // More processes than usual can be had, more memory than all may take cannot.
    expect(await number(ask("pids.max"), { limits: { pids: 350 } })).toBe(350);
    expect(await number(ask("memory.max"), { limits: { memoryMib: 4000 } })).toBeLessThanOrEqual(
      100 * 1024 * 1024,
    );
    expect(await number(ask("pids.max"))).toBe(100);
    await until(
      "only groups that wait for another command are left",
      async () => (await number("cat /sys/fs/cgroup/smolvm/*/pids.max | grep -vc 100 || true")) === 0,
    );
  });

  test("end what goes beyond them and nothing else", async () => {
    const large = ["dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1"];
    const hog = await vm.run(large, { limits: { memoryMib: 32 } });
    expect(hog).toMatchObject({ signal: "SIGKILL", ok: false });
    const crowd = "i=0; while [ $i -lt 20 ]; do sleep 1 & i=$((i + 1)); done";
    const many = await vm.run(crowd, { limits: { pids: 10 } });
    expect(many.stderr).toMatch(/can('|no)t fork/i);
    expect((await vm.run(large)).ok).toBe(true);
  });

  test("that make no sense are refused before anything happens", async () => {
    for (const limits of [{ pids: 0 }, { memoryMib: 1 }, { cpus: 1 }, 5]) {
      const wrong = { limits } as object;
      await expect(vm.run("true", wrong)).rejects.toMatchObject({ code: "CONFIG_INVALID" });
      expect(() => new SmolVM(wrong)).toThrow(expect.objectContaining({ code: "CONFIG_INVALID" }));
    }
    expect(() => new SmolVM({ memSizeMib: 256, limits: { memoryMib: 512 } })).toThrow(/memSizeMib/);
  });
});
