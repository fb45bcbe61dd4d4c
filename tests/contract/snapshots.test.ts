import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import {
  appendFileSync,
  chmodSync,
  existsSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { Socket } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, test, vi } from "vitest";
import { BACKEND_FEATURES } from "../../src/backends/features.ts";
import type { BackendName } from "../../src/config/spec.ts";
import { SmolVM } from "../../src/index.ts";
import { BACKENDS, small } from "../helpers/backends.ts";
import { useTempHome } from "../helpers/home.ts";
import { SPEED_FACTOR, scaled } from "../helpers/speed.ts";
import { until } from "../helpers/wait.ts";

const home = useTempHome();
const snapshots = join(home, "data", "smolvm", "snapshots");
const LONG = process.env.SMOLVM_TEST_LONG !== undefined;

const able = BACKENDS.filter((backend) => BACKEND_FEATURES[backend as BackendName].snapshots);

const pausable = BACKENDS.filter((backend) => BACKEND_FEATURES[backend as BackendName].pause);

const CHILD_RUN = join(import.meta.dirname, "../helpers/child-run.ts");

/** A process with its own memory, an open file and a loop: what it says next tells that all of them went on. */
const COUNTER =
  "i=0; exec 3>>/root/open; while :; do i=$((i+1)); echo $i >&3; echo $i > /root/count; sleep 0.05; done";

const count = async (vm: SmolVM): Promise<number> => Number((await vm.run("cat /root/count")).stdout);

/** What must be each machine's own. */
async function identity(vm: SmolVM): Promise<string[]> {
  const { stdout } = await vm.run(
    "cat /etc/machine-id /run/smolvm/generation /proc/sys/kernel/random/uuid; hostname; head -c 16 /dev/urandom | od -An -tx1",
  );
  return stdout.trim().split("\n");
}

async function clockDifferenceMs(vm: SmolVM): Promise<number> {
  const before = Date.now();
  await vm.files.write("/run/now", "");
  const after = Date.now();
  const is = (await vm.files.stat("/run/now")).mtime.getTime();
  return is < before ? before - is : Math.max(0, is - after);
}

/** Gives up at the very moment at which something is written to a socket, by whomever in this process: it is done, and nobody waits for the answer any more. */
function abortAt(words: RegExp): Disposable & { readonly signal: AbortSignal } {
  const controller = new AbortController();
  const { write } = Socket.prototype;
  const spy = vi.spyOn(Socket.prototype, "write").mockImplementation(function (this: Socket, ...args) {
    const written = write.apply(this, args as Parameters<Socket["write"]>);
    if (words.test(String(args[0]))) controller.abort();
    return written;
  });
  return { signal: controller.signal, [Symbol.dispose]: () => spy.mockRestore() };
}

describe.each(able)("snapshots on %s", (backend) => {
  afterEach(async () => {
    for (const vm of await SmolVM.list()) await SmolVM.from(vm).delete({ force: true });
    for (const { name } of (await SmolVM.snapshots.list()).reverse()) await SmolVM.snapshots.delete(name);
    expect(existsSync(snapshots) ? readdirSync(snapshots) : []).toEqual([]);
  });

  test("what ran goes on in each sandbox that is restored, also without the one that it was taken of", async () => {
    const vm = await SmolVM.create(small(backend, { labels: { of: "the source" }, env: { FROM: "before" } }));
    await vm.run("echo sentinel > /root/sentinel; echo in memory > /dev/shm/sentinel");
    vm.spawn(COUNTER);
    await until("it counts", async () => (await count(vm)) > 3);

    const info = await vm.snapshot("all");
    expect(info).toMatchObject({ name: "all", kind: "full", source: { id: vm.id, name: vm.name } });
    expect(info.stoppedMs).toBeGreaterThan(0);
    const then = await count(vm);
    await until("the source goes on", async () => (await count(vm)) > then);
    const own = await identity(vm);
    await vm.delete({ force: true });

    const restored = await Promise.all([1, 2].map(() => SmolVM.restore("all")));
    const identities = [own, ...(await Promise.all(restored.map(identity)))];
    for (const column of own.keys()) expect(new Set(identities.map((lines) => lines[column])).size).toBe(3);
    for (const clone of restored) {
      expect((await clone.run("cat /root/sentinel /dev/shm/sentinel; echo $FROM")).stdout).toBe(
        "sentinel\nin memory\nbefore\n",
      );
      expect(await clone.info()).toMatchObject({
        startedFrom: "snapshot",
        origin: "snapshot all",
        labels: {},
        lifetime: "owner",
      });
      const seen = await count(clone);
      expect(seen).toBeGreaterThanOrEqual(then - 1);
      await until("it counts on", async () => (await count(clone)) > seen + 2);
      // No number is missing, and none is there twice: the loop and its open file went on where they were.
      const numbers = (await clone.run("cat /root/open")).stdout.trim().split("\n").map(Number);
      expect(numbers).toEqual(numbers.map((_, index) => index + 1));
      expect(await clockDifferenceMs(clone)).toBeLessThan(100 * SPEED_FACTOR);
      expect(await clone.processes.list()).toMatchObject([{ running: true, detached: true }]);
    }
  });

  test("what runs does nothing before the machine has an identity of its own", async () => {
    await using vm = await SmolVM.create(small(backend));
    // Each round notes who the machine is; a round between the snapshot and the identity would note the old one twice.
    vm.spawn('while :; do read g < /run/smolvm/generation; echo "$g" >> /root/rounds; done');
    await until("it runs", async () => Number((await vm.run("wc -l < /root/rounds")).stdout) > 100);
    await vm.snapshot("rounds");
    const restored = await SmolVM.restore("rounds");
    const { stdout } = await restored.run("cat /run/smolvm/generation; uniq -c /root/rounds");
    const [generation, ...rounds] = stdout.trim().split("\n");
    expect(rounds.length).toBeGreaterThan(0);
    // One round may have read the old one before it was frozen, and have noted it after.
    const old = Number(rounds[0]!.trim().split(" ")[0]);
    const taken = await SmolVM.restore("rounds");
    const again = (await taken.run("uniq -c /root/rounds | head -1")).stdout.trim().split(" ");
    expect(Math.abs(Number(again[0]) - old)).toBeLessThanOrEqual(1);
    expect(generation).toMatch(/^[0-9a-f]{32}$/);
  });

  test("a restored sandbox is a whole one: saved again, stopped and started", async () => {
    await using vm = await SmolVM.create(small(backend));
    await vm.run("echo 1 > /dev/shm/level");
    await vm.snapshot("first");
    const middle = await SmolVM.restore("first", { name: "middle", labels: { level: 2 } });
    expect(await middle.info()).toMatchObject({ name: "middle", hostname: "middle", labels: { level: 2 } });
    await middle.run("echo 2 > /dev/shm/level; echo kept > /root/kept");
    await middle.snapshot("second");
    const last = await SmolVM.restore("second");
    await SmolVM.snapshots.delete("second");
    await SmolVM.snapshots.delete("first"); // the sandboxes that came from it do not need it
    expect((await last.run("cat /dev/shm/level /root/kept")).stdout).toBe("2\nkept\n");
    await last.stop();
    await last.start();
    expect((await last.run("cat /root/kept; ls /dev/shm")).stdout).toBe("kept\n");
    expect((await last.info()).startedFrom).toBe("boot");
  });

  test("what others do with the sandbox meanwhile goes on where it was", async () => {
    await using vm = await SmolVM.create(small(backend));
    const other = SmolVM.from(await vm.info()); // with a connection of its own
    const piece = Buffer.alloc(50_000, 7);
    let running = true;
    const counted = vm.run("i=0; while [ ! -e /root/enough ]; do i=$((i+1)); echo $i; sleep 0.01; done");
    const sum = other.spawn("sha256sum");
    const fed = createHash("sha256");
    const feeding = (async () => {
      while (running) {
        await new Promise<void>((resolve, reject) =>
          sum.stdin.write(piece, (error) => (error ? reject(error) : resolve())),
        );
        fed.update(piece);
      }
      sum.stdin.end();
    })();
    const sent = createHash("sha256");
    const uploading = other.files.write(
      "/root/file",
      (async function* () {
        while (running) {
          sent.update(piece);
          yield piece;
          await sleep(5);
        }
      })(),
    );
    // What is asked for while it is held is done afterwards, and so is what is longer than a frame.
    const third = SmolVM.from(await vm.info());
    let asked = 0;
    const asking = (async () => {
      while (running) {
        const [said, long] = [`${asked++}`, "x".repeat(100_000)];
        expect((await third.run(["printf", "%s", said])).stdout).toBe(said);
        await third.files.write("/root/asked", said);
        expect(await third.files.readText("/root/asked")).toBe(said);
        expect((await third.run(["sh", "-c", 'printf %s "$A" | wc -c'], { env: { A: long } })).stdout).toBe(
          "100000\n",
        );
      }
    })();
    let failure: unknown;
    for (const one of [feeding, uploading, asking, counted])
      one.catch((error: unknown) => (failure ??= error));
    await until("it runs", async () => (await vm.processes.list()).length >= 2);
    for (const name of ["one", "two"]) {
      const before = asked;
      await vm.snapshot(name);
      await until("it was asked", () => failure !== undefined || asked > before + 1);
      expect(failure).toBeUndefined();
      expect((await vm.run("echo here")).stdout).toBe("here\n");
      expect((await other.run("echo here")).stdout).toBe("here\n");
    }
    running = false;
    await Promise.all([feeding, uploading, asking]);
    expect((await vm.run("sha256sum < /root/file; touch /root/enough")).stdout).toBe(
      `${sent.digest("hex")}  -\n`,
    );
    expect((await sum.wait()).exitCode).toBe(0);
    expect(await text(sum.stdout)).toBe(`${fed.digest("hex")}  -\n`);
    const numbers = (await counted).stdout.trim().split("\n").map(Number);
    expect(numbers).toEqual(numbers.map((_, index) => index + 1));
  });

  test("of a paused sandbox, which stays paused", async () => {
    await using vm = await SmolVM.create(small(backend));
    await vm.run("echo here > /dev/shm/it");
    await vm.pause();
    await vm.snapshot("paused");
    expect((await vm.info()).state).toBe("paused");
    const restored = await SmolVM.restore("paused");
    expect((await restored.run("cat /dev/shm/it")).stdout).toBe("here\n");
    await vm.resume();
    expect((await vm.run("cat /dev/shm/it")).stdout).toBe("here\n");
  });

  test("names, and what is wrong with them", async () => {
    await using vm = await SmolVM.create(small(backend));
    await vm.snapshot("taken", { kind: "disk" });
    await expect(vm.snapshot("taken")).rejects.toMatchObject({ code: "SNAPSHOT_EXISTS" });
    for (const name of ["../x", "a/b", "", ".hidden", "x".repeat(64)])
      await expect(vm.snapshot(name)).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    await expect(SmolVM.restore("none")).rejects.toMatchObject({ code: "SNAPSHOT_NOT_FOUND" });
    await expect(SmolVM.snapshots.delete("none")).rejects.toMatchObject({ code: "SNAPSHOT_NOT_FOUND" });
    await expect(SmolVM.restore("taken", { image: "debian" } as object)).rejects.toMatchObject({
      code: "CONFIG_INVALID",
    });
    await expect(SmolVM.restore("taken", { name: vm.name })).rejects.toMatchObject({ code: "VM_NAME_TAKEN" });
    expect((await SmolVM.list()).map(({ name }) => name)).toEqual([vm.name]); // also after that
    for (const options of [{ kind: "half" }, { knd: "disk" }])
      await expect(vm.snapshot("x", options as object)).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    await expect(SmolVM.snapshots.import("/tmp/x", { trsut: true } as object)).rejects.toMatchObject({
      code: "CONFIG_INVALID",
    });
  });

  test("what was changed is not gone on from, and what is of another machine neither", async () => {
    await using vm = await SmolVM.create(small(backend));
    await vm.snapshot("it");
    const file = (name: string): string => join(snapshots, "it", name);
    expect(statSync(snapshots).mode & 0o777).toBe(0o700);
    expect(statSync(join(snapshots, "it")).mode & 0o077).toBe(0);

    const manifest = JSON.parse(readFileSync(file("manifest.json"), "utf8"));
    const changed = structuredClone(manifest);
    changed.memory.facts.cpu = "another";
    changed.memory.facts.files[0].size++;
    writeFileSync(file("manifest.json"), JSON.stringify(changed));
    await expect(SmolVM.restore("it")).rejects.toMatchObject({
      code: "SNAPSHOT_INCOMPATIBLE",
      details: { reasons: ["this machine's processor is another", "the virtual machine monitor is another"] },
    });
    const booted = await SmolVM.restore("it", { diskOnly: true });
    expect((await booted.run("echo booted")).stdout).toBe("booted\n");

    writeFileSync(file("manifest.json"), JSON.stringify(manifest));
    chmodSync(file("memory"), 0o644);
    appendFileSync(file("memory"), "x");
    await expect(SmolVM.restore("it")).rejects.toMatchObject({ code: "SNAPSHOT_INVALID" });
    writeFileSync(file("manifest.json"), "{");
    await expect(SmolVM.restore("it")).rejects.toMatchObject({ code: "SNAPSHOT_INVALID" });
    expect(await SmolVM.snapshots.list()).toEqual([]);
    await SmolVM.snapshots.delete("it");
    expect((await SmolVM.list()).length).toBe(2);
  });
});

describe.each(able)("forks on %s", (backend) => {
  afterEach(async () => {
    for (const vm of await SmolVM.list()) await SmolVM.from(vm).delete({ force: true });
  });

  test("several children go on from one moment, each on its own, and so does their parent", async () => {
    const parent = await SmolVM.create(small(backend, { name: "parent" }));
    parent.spawn(COUNTER);
    await until("it counts", async () => (await count(parent)) > 3);
    const children = await parent.fork({ count: LONG ? 10 : 3, name: "child", timeoutMs: scaled(60_000) });
    expect(children.map(({ name }) => name)).toEqual(children.map((_, index) => `child-${index + 1}`));
    expect(readdirSync(snapshots)).toEqual([]);

    const family = [parent, ...children];
    const identities = await Promise.all(family.map(identity));
    for (const column of identities[0]!.keys())
      expect(new Set(identities.map((lines) => lines[column])).size).toBe(family.length);
    await Promise.all(
      family.map((vm, index) =>
        vm.run(["sh", "-c", `echo ${index} > /root/own; echo ${index} > /dev/shm/own`]),
      ),
    );
    for (const [index, vm] of family.entries()) {
      expect((await vm.run("cat /root/own /dev/shm/own")).stdout).toBe(`${index}\n${index}\n`);
      const seen = await count(vm);
      await until("it counts on", async () => (await count(vm)) > seen);
    }
    expect(await children[0]!.info()).toMatchObject({ startedFrom: "fork", origin: "fork of parent" });

    // A child is a sandbox like any other: it has children of its own, also when its parent is gone.
    await parent.delete({ force: true });
    const [grandchild] = await children[0]!.fork();
    expect((await grandchild!.run("cat /root/own /dev/shm/own")).stdout).toBe("1\n1\n");
    const seen = await count(grandchild!);
    await until("it counts on", async () => (await count(grandchild!)) > seen);
  });

  test("a command of the parent's goes on in the child, where it can be attached to; the parent's own host notices nothing", async () => {
    await using parent = await SmolVM.create(small(backend));
    const echo = parent.spawn("while read line; do echo got $line; done; echo over");
    const lines = echo.stdout.setEncoding("utf8")[Symbol.asyncIterator]();
    echo.stdin.write("one\n");
    expect((await lines.next()).value).toBe("got one\n");
    const [child] = await parent.fork();
    echo.stdin.write("two\n");
    expect((await lines.next()).value).toBe("got two\n");
    const [process] = await child!.processes.list();
    expect(process).toMatchObject({ running: true, detached: true });
    const attached = child!.processes.attach(process!.id);
    attached.stdin.end("three\n");
    const printed = attached.stdout.setEncoding("utf8").toArray();
    expect((await attached.wait()).exitCode).toBe(0);
    expect((await printed).join("")).toBe("got three\nover\n");
    echo.stdin.end();
    expect((await echo.wait()).exitCode).toBe(0);
    expect((await lines.next()).value).toBe("over\n");
  });

  test("wrong counts, names that are taken, and a sandbox that does not run", async () => {
    await using parent = await SmolVM.create(small(backend));
    for (const wrong of [0, 1001, 1.5, Number.NaN])
      await expect(parent.fork({ count: wrong })).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    await expect(parent.fork({ count: 2, name: "x".repeat(63) })).rejects.toMatchObject({
      code: "CONFIG_INVALID",
    });
    await SmolVM.define({ ...small(backend), name: "c-2" });
    await expect(parent.fork({ count: 2, name: "c" })).rejects.toMatchObject({ code: "VM_NAME_TAKEN" });
    expect((await SmolVM.list()).map(({ name }) => name).sort()).toEqual(["c-2", parent.name].sort());
    await parent.stop();
    await expect(parent.fork()).rejects.toMatchObject({ code: "VM_STATE" });
  });
});

describe.each(pausable)("snapshots of disks on %s", (backend) => {
  afterEach(async () => {
    for (const vm of await SmolVM.list()) await SmolVM.from(vm).delete({ force: true });
    for (const { name } of (await SmolVM.snapshots.list()).reverse()) await SmolVM.snapshots.delete(name);
  });

  test("of a disk alone, taken of one that runs and of one that is down", async () => {
    await using vm = await SmolVM.create(small(backend));
    await vm.run("echo one > /root/file; echo lost > /dev/shm/file");
    expect(await vm.snapshot("running", { kind: "disk" })).toMatchObject({
      kind: "disk",
      stoppedMs: undefined,
    });
    await vm.run("echo two > /root/file");
    await vm.stop();
    await expect(vm.snapshot("down")).rejects.toMatchObject({
      code: "VM_STATE",
      details: { state: "stopped" },
    });
    await vm.snapshot("down", { kind: "disk" });
    const [first, second] = await Promise.all(["running", "down"].map((name) => SmolVM.restore(name)));
    expect((await first!.run("cat /root/file; ls /dev/shm")).stdout).toBe("one\n");
    expect((await second!.run("cat /root/file")).stdout).toBe("two\n");
    expect(await first!.info()).toMatchObject({ startedFrom: "boot", origin: "snapshot running" });
  });
});

describe.each(pausable)("pausing on %s", (backend) => {
  test("stands still, keeps what was begun waiting, and goes on with the right time", async () => {
    await using vm = await SmolVM.create(small(backend));
    const counter = vm.spawn(
      "i=0; while [ $i -lt 200 ]; do i=$((i+1)); echo $i > /root/count; sleep 0.02; done",
    );
    await until("it counts", async () => (await count(vm)) > 3);
    await vm.pause();
    await vm.pause(); // fine
    const info = await vm.info();
    expect(info.state).toBe("paused");
    const cpu = (await vm.stats()).cpuTimeMs!;
    await expect(vm.run("true")).rejects.toMatchObject({ code: "VM_STATE", details: { state: "paused" } });
    await expect(vm.files.read("/etc/hostname")).rejects.toMatchObject({ code: "VM_STATE" });
    await new Promise((resolve) => setTimeout(resolve, 1_200));
    expect((await vm.stats()).cpuTimeMs! - cpu).toBeLessThan(300);
    await expect(vm.delete({ force: false })).rejects.toMatchObject({ code: "VM_STATE" });
    await vm.resume();
    await vm.resume(); // fine
    expect((await vm.info()).state).toBe("running");
    expect(await clockDifferenceMs(vm)).toBeLessThan(100 * SPEED_FACTOR);
    expect((await counter.wait()).exitCode).toBe(0);

    await vm.pause();
    await vm.start(); // lets it run, however it was
    expect((await vm.run("cat /root/count")).stdout).toBe("200\n");
    await vm.pause();
    await vm.stop();
    expect((await vm.info()).state).toBe("stopped");
    await expect(vm.pause()).rejects.toMatchObject({ code: "VM_STATE" });
    await expect(vm.resume()).rejects.toMatchObject({ code: "VM_STATE" });
    await vm.start();
    expect((await vm.run("cat /root/count")).stdout).toBe("200\n"); // it was stopped in order
  });

  test.each<[string, (vm: SmolVM, signal: AbortSignal) => Promise<unknown>]>([
    ["pausing", (vm, signal) => vm.pause({ signal })],
    ["a snapshot", (vm, signal) => vm.snapshot("never", { signal })],
    ["a snapshot of its disk", (vm, signal) => vm.snapshot("never", { kind: "disk", signal })],
    ["a fork", (vm, signal) => vm.fork({ signal })],
  ])("a sandbox goes on where %s is given up just as it is told to stand still", async (_, act) => {
    await using vm = await SmolVM.create(small(backend));
    await vm.run("true");
    using giveUp = abortAt(/"execute":"stop"|"Paused"/);
    const begun = performance.now();
    await expect(act(vm, giveUp.signal)).rejects.toMatchObject({ code: "ABORTED" });
    expect((await vm.run("echo goes on", { timeoutMs: scaled(5_000) })).stdout).toBe("goes on\n");
    expect(performance.now() - begun).toBeLessThan(scaled(5_000)); // it was not found standing still, later
    expect((await vm.info()).state).toBe("running");
  });

  test("a paused sandbox stays so where resuming it is given up just as its machine is told to go on", async () => {
    await using vm = await SmolVM.create(small(backend));
    const loop = vm.spawn("while :; do :; done", { stdin: "ignore" });
    await loop.started;
    await vm.pause();
    {
      using giveUp = abortAt(/"execute":"cont"|"Resumed"/);
      await expect(vm.resume({ signal: giveUp.signal })).rejects.toMatchObject({ code: "ABORTED" });
    }
    expect((await vm.info()).state).toBe("paused");
    const cpu = (await vm.stats()).cpuTimeMs!;
    await sleep(1_000);
    expect((await vm.stats()).cpuTimeMs! - cpu).toBeLessThan(300);
    await vm.resume();
    expect(await loop.kill("SIGKILL")).toBe(true);
  });

  test("is no shelter for what a host had started that dies meanwhile", async () => {
    await using vm = await SmolVM.create(small(backend));
    const host = spawn(process.execPath, [CHILD_RUN, vm.name, "exec sleep 4720"], { stdio: "ignore" });
    const runs = async (): Promise<boolean> =>
      (await vm.run(["pgrep", "-x", "-f", "sleep 4720"])).exitCode === 0;
    await until("it runs", runs);
    await vm.pause();
    host.kill("SIGKILL");
    await once(host, "exit");
    await vm.resume();
    await until("it has ended", async () => !(await runs()));
  });
});
