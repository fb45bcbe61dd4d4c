import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { homedir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { VMConfig } from "../../src/config/options.ts";
import { processPaths } from "../../src/host/files/paths.ts";
import { processGuards } from "../../src/host/process/process-guards.ts";
import { SmolVM } from "../../src/smolvm.ts";
import type { VmRecord } from "../../src/store/vms.ts";
import { openHome } from "../../src/vm/home.ts";
import { filesSeenBy, inside } from "./inside.ts";

export const recordOf = (vm: SmolVM): VmRecord => openHome().store.vms.get(vm.id);
export const pidOf = async (vm: SmolVM): Promise<number> => (await vm.info()).pid!;

/** What a process's file system shows of what smolvm itself needs there. */
const HELPERS = /\/native\/monitor-|^\/etc\/ld\.so\.cache$|\/firecracker(\.pid)?$/;

/**
 * The tests of any enclosure of a VMM without a network: what is in it can neither read, write, signal nor reach what is
 * not its own.
 * @param home directory of the test's home (useTempHome)
 */
export function enclosedTests(home: string, config: () => VMConfig): void {
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

  test("has namespaces of its own, a seccomp filter, no capabilities and no way to any", () => {
    const guards = processGuards(pid)!;
    expect(guards).toMatchObject({ seccomp: true, noNewPrivileges: true, capable: false });
    expect(guards.ownNamespaces).toEqual(expect.arrayContaining(["ipc", "mnt", "net", "pid", "uts"]));
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    for (const set of ["CapPrm", "CapEff", "CapAmb"])
      expect(status).toMatch(new RegExp(`^${set}:\\s0+$`, "m"));
  });

  test("sees of this machine's files its own alone, and programs", () => {
    const { machine } = recordOf(vm).spec;
    const own = join(processPaths().runtimeDir, vm.id);
    expect(filesSeenBy(pid).filter((path) => !HELPERS.test(path))).toEqual(
      [
        machine.kernelPath,
        ...(machine.initrdPath === undefined ? [] : [machine.initrdPath]),
        ...machine.disks.map(({ path }) => path),
        ...readdirSync(own).map((name) => join(own, name)),
      ].sort(),
    );
  });

  test("cannot read what is this user's, nor another sandbox's disk or sockets", async () => {
    mkdirSync(join(home, "secrets"), { recursive: true });
    writeFileSync(join(home, "secrets", "key"), "secret");
    for (const path of [
      join(home, "secrets", "key"),
      join(home, "data", "smolvm", "store.db"),
      join(homedir(), ".ssh"),
      recordOf(other).spec.machine.disks[1]!.path,
      join(processPaths().runtimeDir, other.id),
      "/etc/passwd",
    ]) {
      const { code, said } = await inside(pid, `cat '${path}'`);
      expect({ path, code, said }).toMatchObject({ code: 1, said: expect.stringContaining("No such file") });
    }
  });

  test("cannot write to its image, to the system, or anywhere but to its disk and sockets", async () => {
    const [base, upper] = recordOf(vm).spec.machine.disks;
    for (const path of [base!.path, recordOf(vm).spec.machine.kernelPath, "/usr/x", "/etc/x", "/tmp/x"]) {
      const { said } = await inside(pid, `echo x >>'${path}' && echo written`);
      expect({ path, said }).toMatchObject({
        said: expect.stringMatching(/Read-only|Permission denied|nonexistent|No such/),
      });
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
      const { code, said } = await inside(pid, `connect ${port}`);
      expect({ code, said }).toMatchObject({ code: 1, said: expect.stringMatching(/unreachable|refused/) });
      expect(asked).toBe(0);
    } finally {
      server.close();
    }
  });

  test("has nothing of this process's environment", () => {
    const names = readFileSync(`/proc/${pid}/environ`, "utf8")
      .split("\0")
      .map((word) => word.split("=")[0]);
    expect(["PATH", ""]).toEqual(expect.arrayContaining(names));
  });
}
