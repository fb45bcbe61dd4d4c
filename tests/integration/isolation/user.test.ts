import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { homedir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { processGuards } from "../../../src/host/process-guards.ts";
import { isAlive, signalProcess } from "../../../src/host/process-identity.ts";
import { SmolVM } from "../../../src/smolvm.ts";
import { openHome } from "../../../src/vm/home.ts";
import { small } from "../../helpers/backends.ts";
import { processesNaming, useTempHome } from "../../helpers/home.ts";
import { inside } from "../../helpers/inside.ts";
import { until } from "../../helpers/wait.ts";

/** The VMM is QEMU, emulating: the tier is the same with any. A machine that cannot give it fails here, with the reason. */
const home = useTempHome();
const config = () => small("qemu", { image: "minimal", isolation: "user" });

const record = (vm: SmolVM) => openHome().store.vms.get(vm.id);
const pidOf = async (vm: SmolVM): Promise<number> => (await vm.info()).pid!;

/** What of the file system a process sees, but for what belongs to the system or is made for it. */
function filesSeenBy(pid: number): string[] {
  const root = `/proc/${pid}/root`;
  const skipped = new Set([
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/dev",
    "/etc/alternatives",
  ]);
  const walk = (path: string): string[] =>
    readdirSync(`${root}${path}`, { withFileTypes: true }).flatMap((entry) => {
      const below = `${path === "/" ? "" : path}/${entry.name}`;
      if (skipped.has(below)) return [];
      return entry.isDirectory() ? walk(below) : [below];
    });
  return walk("/").sort();
}

describe("in the tier user, a VMM without a network", () => {
  let vm: SmolVM;
  let other: SmolVM;
  let pid: number;
  beforeAll(async () => {
    [vm, other] = await Promise.all([SmolVM.create(config()), SmolVM.create(config())]);
    pid = await pidOf(vm);
  });
  afterAll(async () => {
    await vm?.delete({ force: true });
    await other?.delete({ force: true });
  });

  test("says so, and what is missing for more", async () => {
    expect((await vm.info()).isolation).toMatchObject({
      least: "user",
      tier: "user",
      note: expect.stringContaining("namespaces of its own"),
      whyNotNext: expect.any(String),
    });
  });

  test("has namespaces of its own, a seccomp filter, no capabilities and no way to any", () => {
    const guards = processGuards(pid)!;
    expect(guards).toMatchObject({ seccomp: true, noNewPrivileges: true, capable: false });
    expect(guards.ownNamespaces).toEqual(expect.arrayContaining(["ipc", "mnt", "net", "pid", "uts"]));
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    for (const set of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"])
      expect(status).toMatch(new RegExp(`^${set}:\\s0+$`, "m"));
  });

  test("sees of this machine's files its own alone, and programs", () => {
    const { machine } = record(vm).spec;
    const own = join(home, "run", "smolvm", vm.id);
    const sockets = ["ctl", ...Array.from({ length: machine.sessionPorts + 1 }, (_, n) => `ch${n}`)];
    const monitor = readdirSync("native").find(
      (name) => name.startsWith("monitor-") && name.includes(machine.arch),
    );
    expect(filesSeenBy(pid)).toEqual(
      [
        machine.kernelPath,
        machine.initrdPath!,
        ...machine.disks.map(({ path }) => path),
        ...sockets.map((name) => join(own, name)),
        join(process.cwd(), "native", monitor!),
        ...(existsSync("/etc/ld.so.cache") ? ["/etc/ld.so.cache"] : []),
      ].sort(),
    );
  });

  test("cannot read what is this user's, nor another sandbox's disk or sockets", async () => {
    mkdirSync(join(home, "secrets"));
    writeFileSync(join(home, "secrets", "key"), "secret");
    for (const path of [
      join(home, "secrets", "key"),
      join(home, "data", "smolvm", "store.db"),
      join(homedir(), ".ssh"),
      record(other).spec.machine.disks[1]!.path,
      join(home, "run", "smolvm", other.id),
      "/etc/passwd",
      "/proc/1/cmdline",
    ]) {
      const { code, said } = await inside(pid, `cat '${path}'`);
      expect({ path, code, said }).toMatchObject({ code: 1, said: expect.stringContaining("No such file") });
    }
  });

  test("cannot write to its image, to the system, or anywhere but to its disk and sockets", async () => {
    const [base, upper] = record(vm).spec.machine.disks;
    for (const path of [base!.path, record(vm).spec.machine.kernelPath, "/usr/x", "/x", "/etc/x"]) {
      const { code, said } = await inside(pid, `: >>'${path}'`);
      expect({ path, code, said }).toMatchObject({ code: 2, said: expect.stringContaining("Read-only") });
    }
    expect(await inside(pid, `: >>'${upper!.path}'`)).toEqual({ code: 0, said: "" });
  });

  test("cannot see or signal a process of this machine", async () => {
    expect(await inside(pid, `kill -0 ${process.pid}`)).toMatchObject({
      code: 1,
      said: expect.stringContaining("No such process"),
    });
    expect((await inside(pid, "kill -0 2")).code).toBe(0); // itself
  });

  test("cannot reach a service of this machine", async () => {
    let asked = 0;
    const server = createServer((socket) => {
      asked += 1;
      socket.end();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    try {
      const { port } = server.address() as { port: number };
      const { code, said } = await inside(
        pid,
        `exec python3 -c 'import socket; socket.create_connection(("127.0.0.1", ${port}), 5)'`,
      );
      expect({ code, said }).toMatchObject({ code: 1, said: expect.stringMatching(/unreachable|refused/) });
      expect(asked).toBe(0);
    } finally {
      server.close();
    }
  });

  test("has nothing of this process's environment", async () => {
    const names = readFileSync(`/proc/${pid}/environ`, "utf8")
      .split("\0")
      .map((entry) => entry.split("=")[0]);
    expect(["", "PATH", "PWD", "XDG_RUNTIME_DIR"]).toEqual(expect.arrayContaining(names));
  });
});

test("a VMM with a network has this machine's, and all else as well", async () => {
  await using vm = await SmolVM.create({ ...config(), network: "open" });
  await vm.start();
  const pid = await pidOf(vm);
  expect(processGuards(pid)!.ownNamespaces).not.toContain("net");
  expect(processGuards(pid)!.ownNamespaces).toEqual(expect.arrayContaining(["ipc", "mnt", "pid", "uts"]));
  expect(filesSeenBy(pid)).toContain("/etc/resolv.conf");
});

test("what is killed is found with its signal written down, and nothing stays behind", async () => {
  const vm = await SmolVM.create({ ...config(), lifetime: "detached" });
  await vm.start();
  const { vmm } = record(vm);
  expect(readlinkSync(`/proc/${vmm!.pid}/exe`)).toContain("qemu-system");
  process.kill(vmm!.pid, "SIGKILL");
  await until("the monitor has ended", () => !isAlive(vmm!.monitor));
  const exit = readFileSync(join(home, "data", "smolvm", "vms", vm.id, "exit.json"), "utf8");
  expect(JSON.parse(exit)).toMatchObject({ pid: vmm!.pid, code: null, signal: 9 });
  expect(processesNaming(vm.id)).toEqual([]);
  await vm.delete({ force: true });
});

test("the VMM and what is around it die with their monitor", async () => {
  const vm = await SmolVM.create({ ...config(), lifetime: "detached" });
  await vm.start();
  const { vmm } = record(vm);
  signalProcess(vmm!.monitor, "SIGKILL");
  await until("all have ended", () => processesNaming(vm.id).length === 0);
  await vm.delete({ force: true });
});

test("without bubblewrap a sandbox that wants it is refused, and any other runs and says why it has none", async () => {
  const { PATH } = process.env;
  process.env.PATH = join(home, "nowhere");
  try {
    await expect(SmolVM.create(config())).rejects.toMatchObject({
      code: "ISOLATION_UNAVAILABLE",
      message: expect.stringContaining("bubblewrap is not installed"),
      hint: expect.stringMatching(/^Install it: |^Install bubblewrap/),
    });
    await using vm = await SmolVM.create({ ...config(), isolation: "auto" });
    await vm.start();
    expect((await vm.info()).isolation).toMatchObject({
      tier: "none",
      whyNotNext: expect.stringContaining("bubblewrap"),
    });
    expect(processGuards(await pidOf(vm))!.ownNamespaces).toEqual([]);
  } finally {
    process.env.PATH = PATH;
  }
});
