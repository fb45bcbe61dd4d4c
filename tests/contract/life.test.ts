import { execFile, spawnSync } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, describe, expect, test } from "vitest";
import { SmolVM } from "../../src/index.ts";
import { BACKENDS, small } from "../helpers/backends.ts";
import { CLI } from "../helpers/cli.ts";
import { leftovers, useTempHome } from "../helpers/home.ts";
import { until } from "../helpers/wait.ts";

const home = useTempHome();

const CHILD = join(import.meta.dirname, "../helpers/child-get.ts");

describe.each(BACKENDS)("a sandbox's life on %s", (backend) => {
  afterEach(async () => {
    for (const info of await SmolVM.list()) await SmolVM.from(info).delete({ force: true });
  });

  test("begins once for a key, however many ask for it, in whatever processes, and goes on when it is asked for again", async () => {
    const key = "user 7 / böx?";
    const asked = [SmolVM.getOrCreate(key, small(backend)), SmolVM.getOrCreate(key, small(backend))];
    const child = promisify(execFile)(process.execPath, [CHILD, key, backend]);
    const [one, two] = await Promise.all(asked);
    expect(two!.id).toBe(one!.id);
    expect((await child).stdout).toBe(one!.id);
    expect(await SmolVM.list()).toHaveLength(1);
    expect(await SmolVM.list({ key })).toMatchObject([
      { id: one!.id, key, lifetime: "detached", state: "running" },
    ]);
    expect(await SmolVM.list({ key: "another" })).toEqual([]);

    await one!.run("echo kept > /root/file; sync", { check: true });
    await one!.stop();
    const again = await SmolVM.getOrCreate(key, { memSizeMib: 1024 });
    expect((await again.run("cat /root/file")).stdout).toBe("kept\n");
    expect((await again.info()).memSizeMib).toBe(256); // one that there is stays as it is
    await again.delete({ force: true });
    await using next = await SmolVM.getOrCreate(key, small(backend, { lifetime: "owner" }));
    expect(next.id).not.toBe(one!.id);
  });

  test("goes on by itself after a stop and a crash, if it is meant to", async () => {
    await using vm = await SmolVM.create(small(backend, { autoStart: true }));
    expect((await vm.info()).autoStart).toBe(true);
    await vm.files.write("/root/file", "kept\n");
    await vm.stop();
    expect(await vm.files.readText("/root/file")).toBe("kept\n");
    await vm.run("sync");
    process.kill((await vm.info()).pid!, "SIGKILL");
    await until("the crash is noticed", async () => (await vm.info()).state === "error");
    const said = await Promise.all([vm.run("cat /root/file"), SmolVM.from(vm).run("cat /root/file")]);
    expect(said.map(({ stdout }) => stdout)).toEqual(["kept\n", "kept\n"]);
  });

  test("is asked for nothing over the channel into a machine that is known to be gone, by who has not heard of its end", async () => {
    await using vm = await SmolVM.create(small(backend, { autoStart: true }));
    const crash = async (): Promise<void> => {
      const { pid } = await vm.info();
      process.kill(pid!, "SIGKILL");
      // This process hears of nothing meanwhile.
      const info = (): string =>
        spawnSync(CLI[0]!, [...CLI.slice(1), "info", "--json", vm.name], { encoding: "utf8" }).stdout;
      while ((JSON.parse(info()) as { data: { state: string } }).data.state !== "error");
    };
    await crash();
    expect((await vm.run("echo up")).stdout).toBe("up\n");
    await crash();
    await vm.files.write("/root/file", "here\n");
  });

  test("is made longer and shorter while it runs", async () => {
    await using vm = await SmolVM.create(small(backend, { ttlMs: 600_000 }));
    await vm.setTtl("off");
    expect((await vm.info()).expiresAt).toBeUndefined();
    await vm.setTtl(3_600_000);
    const left = Date.parse((await vm.info()).expiresAt!) - Date.now();
    expect(left).toBeGreaterThan(3_500_000);
    await vm.setTtl(1_000);
    // Nobody looks at it: this process sees to it.
    await until("its machine has ended", () => leftovers(home).processes.length === 0);
    await expect(vm.run("true")).rejects.toMatchObject({ code: "VM_NOT_FOUND" });
    await expect(vm.setTtl(1_000)).rejects.toMatchObject({ code: "VM_NOT_FOUND" });
    await expect(vm.setTtl(5)).rejects.toMatchObject({
      code: "CONFIG_INVALID",
      hint: expect.stringMatching(/^Give 1000 to /),
    });
  });

  test("of a detached one is ended by the supervisor", async () => {
    const vm = await SmolVM.define(small(backend, { name: "short" }));
    await vm.setTtl(1_000);
    await until("it is removed", async () => (await SmolVM.list()).length === 0);
  });

  test("has its working directory from its first command on, and again after it was removed", async () => {
    await using vm = await SmolVM.create(small(backend, { workdir: "/srv/app/work", user: "nobody" }));
    expect((await vm.run("pwd; stat -c %U /srv/app . ; touch mine && ls")).stdout).toBe(
      "/srv/app/work\nnobody\nnobody\nmine\n",
    );
    await vm.run("rm -r /srv/app", { user: "root", cwd: "/", check: true });
    await expect(vm.run("true")).rejects.toMatchObject({ code: "FILE_NOT_FOUND" });
    await vm.restart();
    expect((await vm.run("pwd")).stdout).toBe("/srv/app/work\n");
    await expect(vm.run("true", { cwd: "/srv/other" })).rejects.toMatchObject({ code: "FILE_NOT_FOUND" });
    await expect(SmolVM.create(small(backend, { workdir: "/etc/passwd/x" }))).rejects.toMatchObject({
      message: expect.stringContaining("cannot make the working directory '/etc/passwd/x'"),
    });
  });

  test("has one port of this machine for one of the guest's, however often it is exposed", async () => {
    await using vm = await SmolVM.create(small(backend, { ports: [{ guestPort: 7000 }] }));
    const [configured] = vm.ports.list();
    const [a, b] = await Promise.all([vm.ports.expose(8000), vm.ports.expose(8000)]);
    expect(b).toBe(a);
    expect(await vm.ports.expose(8000, { hostPort: a!.hostPort })).toBe(a);
    expect(await vm.ports.expose(7000)).toBe(configured);
    expect(vm.ports.list()).toHaveLength(2);
    await a!.close();
    expect(await vm.ports.expose(8000)).not.toBe(a);
    const published = await vm.ports.publish(9000);
    expect(published.url).toBe(`http://127.0.0.1:${published.hostPort}`);
    expect(await vm.ports.publish(9000)).toEqual(published);
  });
});
