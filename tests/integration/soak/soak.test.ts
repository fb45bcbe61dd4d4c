import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { SmolVM } from "../../../src/index.ts";
import { BACKENDS, small } from "../../helpers/backends.ts";
import { processesNaming, useTempHome } from "../../helpers/home.ts";
import { scaled } from "../../helpers/speed.ts";

// What weeks of use would show: nothing grows. With SMOLVM_TEST_LONG the numbers that were asked for, else a sample; in the lab, where
// a boot takes seconds, all the restores and a part of the rest.
const LONG = process.env.SMOLVM_TEST_LONG === "1";
const LAB = process.env.SMOLVM_LAB !== undefined;
const CYCLES = LONG ? (LAB ? 30 : 300) : 6;
const RESTORES = LONG ? 200 : 20;
const COMMANDS = LONG ? (LAB ? 2000 : 20_000) : 600;

const home = useTempHome();
const MIB = 2 ** 20;

/** What this process and this home have on the machine. */
interface Holdings {
  readonly files: readonly string[];
  readonly descriptors: number;
  readonly processes: number;
  readonly storeBytes: number;
  readonly memoryBytes: number;
}

function holdings(): Holdings {
  globalThis.gc?.();
  const files = readdirSync(home, { recursive: true, encoding: "utf8" }).sort();
  return {
    files,
    descriptors: readdirSync("/proc/self/fd").length,
    processes: processesNaming(home).length,
    storeBytes: files
      .filter((file) => file.includes("store.db"))
      .reduce((sum, file) => sum + statSync(join(home, file)).size, 0),
    memoryBytes: process.memoryUsage.rss(),
  };
}

function expectNoGrowth(before: Holdings, after: Holdings): void {
  expect(after.files).toEqual(before.files);
  expect(after.processes).toBe(before.processes);
  // One more or less is Node's own: a timer's or a thread's.
  expect(after.descriptors).toBeLessThanOrEqual(before.descriptors + 2);
  // SQLite reuses its pages; its log is cut back when it is full (4 MiB, sqlite.org/wal.html).
  expect(after.storeBytes).toBeLessThanOrEqual(Math.max(before.storeBytes, 5 * MIB));
  // The heap breathes by some ten MiB; a leak of 20 KiB for each command would be 400 MiB after the long run.
  expect(after.memoryBytes - before.memoryBytes).toBeLessThan((LONG ? 150 : 60) * MIB);
}

const timeout = scaled(LONG ? 3 * 3_600_000 : 300_000);

describe.each(BACKENDS)("nothing grows on %s", (backend) => {
  test(`over ${CYCLES} sandboxes that are created, used and deleted`, { timeout }, async () => {
    const cycle = async (i: number): Promise<void> => {
      await using vm = await SmolVM.create(small(backend, { labels: { cycle: String(i) } }));
      expect((await vm.run(`echo ${i}`)).stdout).toBe(`${i}\n`);
    };
    for (let i = 0; i < 2; i++) await cycle(i); // the store, the caches and the code are there then
    const before = holdings();
    for (let i = 0; i < CYCLES; i++) await cycle(i);
    expectNoGrowth(before, holdings());
    expect(await SmolVM.list()).toEqual([]);
  });

  test(`over ${RESTORES} sandboxes that go on from a snapshot, and forks of them`, { timeout }, async () => {
    await using source = await SmolVM.create(small(backend));
    await source.run("echo sentinel > /dev/shm/sentinel");
    await source.snapshot("soak");
    const cycle = async (i: number): Promise<void> => {
      await using vm = await SmolVM.restore("soak");
      expect((await vm.run(`cat /dev/shm/sentinel; echo ${i}`)).stdout).toBe(`sentinel\n${i}\n`);
      if (i % 5 !== 0) return;
      const [child] = await vm.fork();
      expect((await child!.run("cat /dev/shm/sentinel")).stdout).toBe("sentinel\n");
      await child!.delete();
    };
    for (let i = 0; i < 2; i++) await cycle(i);
    const before = holdings();
    for (let i = 0; i < RESTORES; i++) await cycle(i);
    expectNoGrowth(before, holdings());
    await SmolVM.snapshots.delete("soak");
  });

  test(`over ${COMMANDS} commands in one sandbox`, { timeout }, async () => {
    await using vm = await SmolVM.create(small(backend));
    const { pid } = await vm.info();
    /** all the guest's memory is touched sooner or later: what the VMM has beyond that is its own */
    const vmmBytes = (): number => {
      const status = readFileSync(`/proc/${pid}/status`, "utf8");
      return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1024;
    };
    const guest = async (): Promise<{
      processes: number;
      agentKib: number;
      cgroups: number;
      descriptors: number;
    }> => {
      const script = `set -- /proc/[0-9]*; echo $#; sed -n 's/^VmRSS:[^0-9]*\\([0-9]*\\).*/\\1/p' /proc/1/status;
        find /sys/fs/cgroup -type d | wc -l; ls /proc/1/fd | wc -l`;
      const [processes, agentKib, cgroups, descriptors] = (await vm.run(script)).stdout
        .trim()
        .split("\n")
        .map(Number);
      return { processes: processes!, agentKib: agentKib!, cgroups: cgroups!, descriptors: descriptors! };
    };
    let i = 0;
    const some = async (count: number): Promise<void> => {
      for (const until = i + count; i < until; i += 4) {
        const outputs = await Promise.all([0, 1, 2, 3].map((k) => vm.run(["/bin/echo", String(i + k)])));
        expect(outputs.map(({ stdout }) => stdout)).toEqual([0, 1, 2, 3].map((k) => `${i + k}\n`));
      }
    };
    await some(200);
    const before = { host: holdings(), guest: await guest(), vmm: vmmBytes() };
    await some(COMMANDS);
    const after = { host: holdings(), guest: await guest(), vmm: vmmBytes() };
    expectNoGrowth(before.host, after.host);
    expect(after.guest.processes).toBeLessThanOrEqual(before.guest.processes + 2);
    expect(after.guest.cgroups).toBeLessThanOrEqual(before.guest.cgroups + 1);
    expect(after.guest.descriptors).toBeLessThanOrEqual(before.guest.descriptors + 1);
    expect(after.guest.agentKib - before.guest.agentKib).toBeLessThan(1024);
    expect(after.vmm - before.vmm).toBeLessThan(256 * MIB + 32 * MIB);
    expect(await vm.processes.list()).toEqual([]);
  });
});
