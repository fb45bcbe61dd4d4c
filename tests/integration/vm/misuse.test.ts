import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import { images, SandboxPool, SmolVM, SmolVMError } from "../../../src/index.ts";
import { useTempHome } from "../../helpers/home.ts";

useTempHome();

test("what is no name or filter is refused, and lists nothing", async () => {
  for (const name of [undefined, 5, ""]) {
    await expect(SmolVM.get(name as never)).rejects.toMatchObject({ code: "CONFIG_INVALID" });
  }
  for (const filter of [null, 5, { stat: "running" }, { state: "asleep" }, { labels: ["a"] }]) {
    await expect(SmolVM.list(filter as never)).rejects.toMatchObject({ code: "CONFIG_INVALID" });
  }
});

test("before it is started a sandbox says so by its name, and stopping it is fine", async () => {
  const vm = new SmolVM({ name: "not-yet", network: "off" });
  await vm.stop();
  await expect(vm.info()).rejects.toMatchObject({
    code: "VM_NOT_FOUND",
    message: "sandbox 'not-yet' was not started yet",
    hint: "Start it first: await vm.start()",
  });
  await expect(vm.logs({ tailLines: -1 })).rejects.toMatchObject({ code: "CONFIG_INVALID" });
});

test("after it was deleted every call says so by its name", async () => {
  const vm = await SmolVM.define({ name: "gone", network: "off" });
  await vm.delete();
  const calls = [
    () => vm.start(),
    () => vm.stop(),
    () => vm.restart(),
    () => vm.info(),
    () => vm.logs(),
    () => vm.run("true"),
    () => vm.spawn("true").started,
    () => vm.files.read("/etc/passwd"),
    () => vm.ports.expose(80),
    () => vm.connect(80),
  ];
  for (const call of calls) {
    await expect(call()).rejects.toMatchObject({
      code: "VM_NOT_FOUND",
      message: "sandbox 'gone' was deleted",
    });
  }
  await vm.delete();
});

test("a wrong option of run is told before anything boots", async () => {
  const vm = new SmolVM({ network: "off" });
  await expect(vm.run("true", { timeout: 5 } as never)).rejects.toMatchObject({
    hint: "Did you mean 'timeoutMs'?",
  });
  await expect(vm.spawn("true", { chdir: "/" } as never).wait()).rejects.toMatchObject({
    message: "unknown option 'chdir'",
  });
  expect(await SmolVM.list()).toEqual([]);
});

describe("who calls without types is told what is wrong, whatever was given, before anything boots", () => {
  /** What is neither a name, nor a path, nor a number, nor options. */
  const GARBAGE: unknown[] = [null, true, Symbol("x"), 10n, () => 1, { port: "x" }, [5], Object.create(null)];
  /** What are no options: not even an object, or of names that nobody knows. */
  const NO_OPTIONS: unknown[] = [
    null,
    5,
    "x",
    true,
    Symbol("x"),
    10n,
    [],
    { timeuot: 5 },
    { timeoutMs: "5" },
  ];

  const OF_A_SANDBOX: Record<string, (vm: SmolVM, garbage: never) => unknown> = {
    snapshot: (vm, garbage) => vm.snapshot(garbage),
    commit: (vm, garbage) => vm.commit(garbage),
    setTtl: (vm, garbage) => vm.setTtl(garbage),
    connect: (vm, garbage) => vm.connect(garbage),
    run: (vm, garbage) => vm.run(garbage),
    "spawn().wait": (vm, garbage) => vm.spawn(garbage).wait(),
    "files.read": (vm, garbage) => vm.files.read(garbage),
    "files.write": (vm, garbage) => vm.files.write(garbage, "x"),
    "files.list": (vm, garbage) => vm.files.list(garbage),
    "files.stat": (vm, garbage) => vm.files.stat(garbage),
    "files.exists": (vm, garbage) => vm.files.exists(garbage),
    "files.mkdir": (vm, garbage) => vm.files.mkdir(garbage),
    "files.remove": (vm, garbage) => vm.files.remove(garbage),
    "files.rename": (vm, garbage) => vm.files.rename(garbage, "/x"),
    "files.rename to": (vm, garbage) => vm.files.rename("/x", garbage),
    "files.copy": (vm, garbage) => vm.files.copy(garbage, "/x"),
    "files.upload to": (vm, garbage) => vm.files.upload(import.meta.filename, garbage),
    "files.download": (vm, garbage) => vm.files.download(garbage, "x"),
    "ports.expose": (vm, garbage) => vm.ports.expose(garbage),
    "ports.publish": (vm, garbage) => vm.ports.publish(garbage),
    "ports.bring": (vm, garbage) => vm.ports.bring(garbage, { port: 80 }),
    "ports.bring to": (vm, garbage) => vm.ports.bring(80, garbage),
    "mounts.add": (vm, garbage) => vm.mounts.add(garbage),
    "mounts.remove": (vm, garbage) => vm.mounts.remove(garbage),
    "mounts.diff": (vm, garbage) => vm.mounts.diff(garbage),
    "mounts.apply": (vm, garbage) => vm.mounts.apply(garbage),
    "processes.kill": (vm, garbage) => vm.processes.kill(garbage),
    "processes.attach": (vm, garbage) => vm.processes.attach(garbage).wait(),
  };

  const OPTIONS: Record<string, (vm: SmolVM, options: never) => unknown> = {
    start: (vm, options) => vm.start(options),
    stop: (vm, options) => vm.stop(options),
    restart: (vm, options) => vm.restart(options),
    pause: (vm, options) => vm.pause(options),
    resume: (vm, options) => vm.resume(options),
    snapshot: (vm, options) => vm.snapshot("s", options),
    commit: (vm, options) => vm.commit("i", options),
    fork: (vm, options) => vm.fork(options),
    setTtl: (vm, options) => vm.setTtl("off", options),
    delete: (vm, options) => vm.delete(options),
    diagnose: (vm, options) => vm.diagnose(options),
    logs: (vm, options) => vm.logs(options),
    followLogs: (vm, options) => vm.followLogs(options).next(),
    run: (vm, options) => vm.run("true", options),
    "spawn().wait": (vm, options) => vm.spawn("true", options).wait(),
    "shell().wait": (vm, options) => vm.shell(options).wait(),
    connect: (vm, options) => vm.connect(80, options),
    "files.stat": (vm, options) => vm.files.stat("/x", options),
    "files.read": (vm, options) => vm.files.read("/x", options),
    "ports.expose": (vm, options) => vm.ports.expose(80, options),
    "ports.publish": (vm, options) => vm.ports.publish(80, options),
    "ports.unpublish": (vm, options) => vm.ports.unpublish(options),
    "processes.list": (vm, options) => vm.processes.list(options),
    "processes.kill": (vm, options) => vm.processes.kill(1, 15, options),
    "network.events": (vm, options) => vm.network.events(options).next(),
    "mounts.add": (vm, options) => vm.mounts.add({ host: "/x", guest: "/x" }, options),
    "mounts.remove": (vm, options) => vm.mounts.remove("/x", options),
    "mounts.list": (vm, options) => vm.mounts.list(options),
    "mounts.diff": (vm, options) => vm.mounts.diff("/x", options),
    "mounts.apply": (vm, options) => vm.mounts.apply("/x", options),
  };

  const OF_THE_CLASS: Record<string, (options: never) => unknown> = {
    "new SmolVM": (options) => new SmolVM(options),
    create: (options) => SmolVM.create(options),
    createMany: (options) => SmolVM.createMany(2, options),
    define: (options) => SmolVM.define(options),
    warm: (options) => SmolVM.warm(options),
    getOrCreate: (options) => SmolVM.getOrCreate("key", options),
    take: (options) => SmolVM.take("pool", options),
    restore: (options) => SmolVM.restore("snapshot", options),
    list: (options) => SmolVM.list(options),
    from: (options) => SmolVM.from(options),
    "snapshots.export": (options) => SmolVM.snapshots.export("s", "/x", options),
    "snapshots.import": (options) => SmolVM.snapshots.import("/x", options),
    "pools.create": (options) => SmolVM.pools.create(options),
    "new SandboxPool": (options) => new SandboxPool(options),
    "images.build": (options) => images.build(".", options),
  };

  const NAMES: Record<string, (name: never) => unknown> = {
    createMany: (count) => SmolVM.createMany(count),
    get: (name) => SmolVM.get(name),
    getOrCreate: (key) => SmolVM.getOrCreate(key),
    take: (pool) => SmolVM.take(pool),
    restore: (name) => SmolVM.restore(name),
    "snapshots.get": (name) => SmolVM.snapshots.get(name),
    "snapshots.delete": (name) => SmolVM.snapshots.delete(name),
    "snapshots.export": (name) => SmolVM.snapshots.export(name, "/x"),
    "snapshots.export to": (path) => SmolVM.snapshots.export("s", path),
    "snapshots.import": (path) => SmolVM.snapshots.import(path),
    "pools.delete": (name) => SmolVM.pools.delete(name),
    "images.build": (directory) => images.build(directory),
  };

  /** How a call with each of these ends, where that is not with CONFIG_INVALID. */
  async function otherwise(values: unknown[], call: (value: never) => unknown): Promise<string[]> {
    const others: string[] = [];
    for (const value of values) {
      const outcome = await (async () => call(value as never))().then(
        () => "no error",
        (error: unknown) => (error instanceof SmolVMError ? error.code : String(error)),
      );
      if (outcome !== "CONFIG_INVALID") others.push(`${inspect(value)}: ${outcome}`);
    }
    return others;
  }

  test.each(Object.entries(OF_A_SANDBOX))("vm.%s", async (_, call) => {
    const vm = await SmolVM.define({ network: "restricted" });
    expect(await otherwise(GARBAGE, (garbage) => call(vm, garbage))).toEqual([]);
    expect((await vm.info()).state).toBe("created");
    await vm.delete();
  });

  test.each(Object.entries(OPTIONS))("vm.%s: its options", async (_, call) => {
    const vm = await SmolVM.define({ network: "restricted" });
    expect(await otherwise(NO_OPTIONS, (options) => call(vm, options))).toEqual([]);
    expect((await vm.info()).state).toBe("created");
    await vm.delete();
  });

  test.each(Object.entries(OF_THE_CLASS))("%s: its options", async (_, call) => {
    expect(await otherwise(NO_OPTIONS, call)).toEqual([]);
    expect(await SmolVM.list()).toEqual([]);
  });

  test.each(Object.entries(NAMES))("%s", async (_, call) => {
    expect(await otherwise(GARBAGE, call)).toEqual([]);
    expect(await SmolVM.list()).toEqual([]);
  });
});
