import { execFile } from "node:child_process";
import {
  existsSync,
  linkSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, describe, expect, test } from "vitest";
import { isSmolVMError, SmolVM } from "../../src/index.ts";
import { BACKENDS, IMAGE_NAME, small } from "../helpers/backends.ts";
import { leftovers, useTempHome } from "../helpers/home.ts";
import { IN_MOUNT_NAMESPACE } from "../helpers/mount-namespace.ts";
import { until } from "../helpers/wait.ts";

const home = useTempHome();
const FULL_DISK = join(import.meta.dirname, "../helpers/child-full-disk.ts");

describe.each(BACKENDS)("a sandbox on %s", (backend) => {
  afterEach(async () => {
    for (const { name } of await SmolVM.list()) await (await SmolVM.get(name)).delete({ force: true });
  });

  test("runs a command inside a kernel of its own and leaves nothing when its scope ends", async () => {
    {
      await using vm = await SmolVM.create(small(backend));
      const result = await vm.run("echo $((6 * 7)) && uname -n");
      expect(result).toMatchObject({ exitCode: 0, ok: true, stderr: "" });
      expect(result.stdout).toBe(`42\n${vm.name}\n`);
      expect(await vm.info()).toMatchObject({
        state: "running",
        backend,
        lifetime: "owner",
        image: IMAGE_NAME,
      });
    }
    expect(await SmolVM.list()).toEqual([]);
    expect(leftovers(home)).toEqual({ processes: [], directories: [], sockets: [] });
  });

  test("takes its disk along and nothing else: not what has another name as well, nor what a link in its place leads to", async () => {
    const [linked, replaced] = [join(home, "linked"), join(home, "replaced")];
    const diskOf = ({ id }: SmolVM): string => join(home, "data", "smolvm", "vms", id, "upper.img");
    const vm = await SmolVM.create(small(backend));
    await vm.run("echo kept > /root/kept && sync");
    linkSync(diskOf(vm), linked);
    await vm.delete({ force: true });
    expect(statSync(linked).nlink).toBe(1);
    expect(statSync(linked).blocks).toBeGreaterThan(0);

    const other = await SmolVM.create(small(backend));
    await other.run("true");
    rmSync(diskOf(other));
    writeFileSync(replaced, "kept");
    symlinkSync(replaced, diskOf(other));
    await other.delete({ force: true });
    expect(readFileSync(replaced, "utf8")).toBe("kept");
    expect(leftovers(home)).toEqual({ processes: [], directories: [], sockets: [] });
    rmSync(linked);
    rmSync(replaced);
  });

  test("is made and started by its first run, once, however many run at the same time", async () => {
    await using vm = new SmolVM(small(backend));
    const results = await Promise.all(["a", "b", "c"].map((word) => vm.run(["echo", word])));
    expect(results.map((result) => result.stdout)).toEqual(["a\n", "b\n", "c\n"]);
    expect(await SmolVM.list()).toHaveLength(1);
  });

  test("boots on for the others when whoever began it gives up, and for nobody when all do", async () => {
    await using vm = new SmolVM(small(backend));
    const first = new AbortController();
    const aborted = vm.run("echo a", { signal: first.signal });
    const waiting = vm.run("echo b");
    await until("it is being started", async () => (await SmolVM.list({ state: "starting" })).length === 1);
    first.abort();
    await expect(aborted).rejects.toMatchObject({ code: "RUN_ABORTED" });
    expect((await waiting).stdout).toBe("b\n");
    expect((await vm.run("echo c")).stdout).toBe("c\n");

    const all = new AbortController();
    await using other = new SmolVM(small(backend));
    const runs = ["a", "b"].map((word) => other.run(["echo", word], { signal: all.signal }));
    await until("it is being started", async () => (await SmolVM.list({ state: "starting" })).length === 1);
    all.abort();
    for (const run of runs) await expect(run).rejects.toMatchObject({ code: "RUN_ABORTED" });
    expect((await SmolVM.list()).map(({ name, state }) => [name, state])).toEqual([
      [vm.name, "running"],
      [other.name, "error"],
    ]);
    expect((await other.run("echo d")).stdout).toBe("d\n"); // it has not run yet
  });

  test("keeps its disk and its machine id over stop and start, and says so in its states", async () => {
    await using vm = await SmolVM.create(small(backend, { name: "keeper" }));
    await vm.run("echo kept > /root/file; cp /etc/machine-id /root/id");
    await vm.stop();
    expect((await vm.info()).state).toBe("stopped");
    await vm.stop(); // again is fine
    await expect(vm.run("true")).rejects.toMatchObject({
      code: "VM_STATE",
      hint: "Start it: smolvm start keeper",
    });
    await vm.start();
    const { stdout } = await vm.run("cat /root/file; cmp /etc/machine-id /root/id && echo same");
    expect(stdout).toBe("kept\nsame\n");
    await vm.start(); // again is fine
  });

  test("that was killed from outside is found crashed, and can be started again with its synced files", async () => {
    await using vm = await SmolVM.create(small(backend));
    await vm.run("echo synced > /root/file; sync");
    const { pid } = await vm.info();
    process.kill(pid!, "SIGKILL");
    await until("the crash is noticed", async () => (await vm.info()).state === "error");
    expect((await vm.info()).error?.message).toMatch(/crashed/);
    await vm.start();
    expect((await vm.run("cat /root/file")).stdout).toBe("synced\n");
  });

  test("whose kernel panics is found crashed, what ran in it ends with an error, and it can be started again", async () => {
    // The fast kernel has no key that makes it panic.
    await using vm = await SmolVM.create(small(backend, { kernel: "debian" }));
    await expect(vm.run("echo c > /proc/sysrq-trigger")).rejects.toMatchObject({
      code: "OUTCOME_UNKNOWN",
    });
    await until("the panic is noticed", async () => (await vm.info()).state === "error");
    expect((await vm.info()).error?.message).toMatch(/crashed: .*panic/);
    expect(await vm.logs()).toContain("Kernel panic");
    await vm.start();
    expect((await vm.run("echo up")).stdout).toBe("up\n");
  });

  test("that powers itself off is found stopped, not crashed", async () => {
    await using vm = await SmolVM.create(small(backend, { lifetime: "detached" }));
    await vm.run("kill -TERM 1", { timeoutMs: 20_000 }).catch(() => {});
    await until("it has stopped", async () => (await vm.info()).state === "stopped");
    await vm.delete();
  });

  test("is refused a second time under the same name", async () => {
    await using first = await SmolVM.create(small(backend, { name: "twin" }));
    await expect(SmolVM.create(small(backend, { name: "twin" }))).rejects.toMatchObject({
      code: "VM_NAME_TAKEN",
    });
    expect((await first.run("echo untouched")).stdout).toBe("untouched\n");
  });

  test("that runs is removed only by force, and what is gone is not found", async () => {
    const vm = await SmolVM.create(small(backend, { lifetime: "detached" }));
    await expect(vm.delete()).rejects.toMatchObject({ code: "VM_STATE" });
    await vm.delete({ force: true });
    await vm.delete(); // again is fine
    await expect(SmolVM.get(vm.name)).rejects.toMatchObject({ code: "VM_NOT_FOUND" });
    await expect(vm.info()).rejects.toMatchObject({ code: "VM_NOT_FOUND" });
  });

  test("has the cores, memory, disk and names that were asked for", async () => {
    await using vm = await SmolVM.create(
      small(backend, {
        vcpuCount: 2,
        memSizeMib: 384,
        diskSizeMib: 4096,
        hostname: "box.example",
        env: { GREETING: "hello" },
        workdir: "/tmp",
        user: "nobody",
        labels: { team: "blue" },
      }),
    );
    const { stdout } = await vm.run(
      "nproc; awk '/MemTotal/{print int($2/1024)}' /proc/meminfo; df -Pk / | awk 'NR == 2 {print int($2/1024)}'; hostname; echo $GREETING; pwd; id -un",
    );
    const [cores, memory, disk, hostname, greeting, directory, user] = stdout.split("\n");
    expect(cores).toBe("2");
    expect(Number(memory)).toBeGreaterThan(256);
    expect(Number(memory)).toBeLessThanOrEqual(384);
    expect(Number(disk)).toBeGreaterThan(3600);
    expect(Number(disk)).toBeLessThanOrEqual(4096);
    expect([hostname, greeting, directory, user]).toEqual(["box.example", "hello", "/tmp", "nobody"]);
    expect((await SmolVM.list({ labels: { team: "blue" } })).map((info) => info.name)).toEqual([vm.name]);
    expect(await SmolVM.list({ labels: { team: "red" } })).toEqual([]);
  });

  test("has an environment that is changed before it exists, and stays when it stops", async () => {
    const vm = new SmolVM(small(backend, { env: { A: "1", B: "2" }, lifetime: "detached" }));
    try {
      await vm.env.set({ A: "one", C: "three" });
      await vm.env.delete("B");
      expect(await vm.env.list()).toEqual({ A: "one", C: "three" });
      expect((await vm.run("echo $A $C $(printenv B || echo unset)")).stdout).toBe("one three unset\n");
      await vm.stop();
      await vm.env.set("B", "back");
      await vm.start();
      expect((await vm.run("echo $A $C $B")).stdout).toBe("one three back\n");
    } finally {
      await vm.delete({ force: true });
    }
    await expect(vm.env.list()).rejects.toMatchObject({ code: "VM_NOT_FOUND" });
    await expect(vm.env.set("A", "1")).rejects.toMatchObject({ code: "VM_NOT_FOUND" });
  });

  test("whose disk is full gets an error of its own and stays usable", async () => {
    await using vm = await SmolVM.create(small(backend, { diskSizeMib: 64 }));
    const full = await vm.run("dd if=/dev/zero of=/root/big bs=1M count=200");
    expect(full.exitCode).toBe(1);
    expect(full.stderr).toContain("No space left on device");
    await expect(vm.files.write("/root/more", Buffer.alloc(1 << 20))).rejects.toMatchObject({
      code: "NO_SPACE",
    });
    expect((await vm.run("rm /root/big && echo fine > /root/small && cat /root/small")).stdout).toBe(
      "fine\n",
    );
  });

  test("on a host whose disk is full says so, goes on running, and can be removed", async () => {
    const disk = mkdtempSync(join(tmpdir(), "smolvm-full-"));
    try {
      const [unshare = "", ...namespace] = IN_MOUNT_NAMESPACE;
      const { stdout } = await promisify(execFile)(unshare, [
        ...[...namespace, "/bin/sh", "-c"],
        'mount -t tmpfs -o size=64m none "$1" && XDG_DATA_HOME=$1 exec "$2" "$3" "$4"',
        ...["sh", disk, process.execPath, FULL_DISK, backend],
      ]);
      expect(JSON.parse(stdout)).toEqual({
        during: expect.stringMatching(/^this machine's disk is full: .*df -h /),
        write: { ok: false, stderr: expect.stringMatching(/Read-only file system|Input\/output error/) },
        create: { code: "NO_SPACE" },
        start: { code: "NO_SPACE" },
        delete: "deleted",
        left: [],
      });
    } finally {
      rmSync(disk, { recursive: true });
    }
  });

  test("comes in numbers: all of them, or none", async () => {
    const vms = await SmolVM.createMany(3, small(backend, { name: "many" }));
    expect(vms.map((vm) => vm.name)).toEqual(["many-1", "many-2", "many-3"]);
    const said = await Promise.all(vms.map(async (vm) => (await vm.run("hostname")).stdout));
    expect(said).toEqual(["many-1\n", "many-2\n", "many-3\n"]);
    // many-3 is taken: many-2 fails or goes with it
    await Promise.all(vms.slice(0, 2).map((vm) => vm.delete()));
    await expect(SmolVM.createMany(3, small(backend, { name: "many" }))).rejects.toMatchObject({
      code: "VM_NAME_TAKEN",
    });
    expect((await SmolVM.list()).map((info) => info.name)).toEqual(["many-3"]);
    await expect(SmolVM.createMany(0)).rejects.toMatchObject({ code: "CONFIG_INVALID" });
  });

  test("that cannot boot says at which stage, with the console's end, and leaves nothing", async () => {
    const attempt = SmolVM.create(
      small(backend, { bootArgs: "rdinit=/nowhere init=/nowhere", timeoutMs: 60_000 } as never),
    );
    const error = await attempt.catch((reason: unknown) => reason);
    expect(isSmolVMError(error, "BOOT_FAILED")).toBe(true);
    expect((error as { details: { console: string[] } }).details.console.join("\n")).toContain(
      "Kernel panic",
    );
    expect(await SmolVM.list()).toEqual([]);
    expect(existsSync(home)).toBe(true);
  });
});
