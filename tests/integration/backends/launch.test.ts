import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { qemuBackend } from "../../../src/backends/qemu/backend.ts";
import { locateQemu } from "../../../src/backends/qemu/locate.ts";
import { QmpClient } from "../../../src/backends/qemu/qmp-client.ts";
import { vmmExitError } from "../../../src/backends/vmm-exit.ts";
import type { MachineSpec } from "../../../src/config/spec.ts";
import { readEnvironment } from "../../../src/host/environment.ts";
import { type VmFiles, vmFiles } from "../../../src/host/files/filenames.ts";
import { isAlive } from "../../../src/host/process/process-identity.ts";
import { waitForEnd } from "../../../src/host/process/wait-end.ts";
import { NO_ENCLOSURE } from "../../../src/isolation/enclosure.ts";
import { Deadline } from "../../../src/util/deadline.ts";
import { until } from "../../helpers/wait.ts";

const soon = (timeoutMs = 20_000): Deadline => Deadline.of("the test", { timeoutMs });

let dir: string;
let files: VmFiles;
beforeEach(() => {
  // A comma in every path: QEMU's option syntax ends a value there.
  dir = mkdtempSync(join(tmpdir(), "sm,b-"));
  files = vmFiles(dir, join(dir, "run"), "box");
  mkdirSync(files.dir, { recursive: true });
  writeFileSync(files.upper, Buffer.alloc(1024 * 1024));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

/** A machine without a bootable kernel: QEMU runs, the guest never gets anywhere. */
function spec(change: Partial<MachineSpec> = {}): MachineSpec {
  const kernelPath = join(dir, "kernel");
  writeFileSync(kernelPath, change.arch === "aarch64" ? HALTING_IMAGE : haltingKernel());
  return {
    backend: "qemu",
    arch: "x86_64",
    machine: "microvm",
    accelerator: "tcg",
    vcpuCount: 1,
    memSizeMib: 128,
    kernelPath,
    initrdPath: undefined,
    bootArgs: "",
    disks: [{ serial: "smolvm-upper", path: files.upper, format: "raw", readOnly: false }],
    network: "open",
    sessionPorts: 4,
    ...change,
  };
}

/** For Arm a file without a known header is run from its start: `wfi; b -4`. */
const HALTING_IMAGE = Buffer.from("7f2003d5ffffff17", "hex");

/** A 32-bit ELF with a PVH note (https://xenbits.xen.org/docs/unstable/misc/pvh.html) whose entry is `hlt; jmp -3`. */
function haltingKernel(): Buffer {
  const elf = Buffer.alloc(0x1000);
  const entry = 0x10_0200;
  elf.write("\x7fELF\x01\x01\x01", "latin1");
  elf.writeUInt16LE(2, 16); // executable
  elf.writeUInt16LE(3, 18); // i386
  elf.writeUInt32LE(1, 20);
  elf.writeUInt32LE(entry, 24);
  elf.writeUInt32LE(52, 28); // program headers follow
  elf.writeUInt16LE(52, 40);
  elf.writeUInt16LE(32, 42);
  elf.writeUInt16LE(2, 44);
  const header = (at: number, words: readonly number[]): void => {
    for (const [index, word] of words.entries()) elf.writeUInt32LE(word, at + index * 4);
  };
  header(52, [1, 0, 0x10_0000, 0x10_0000, 0x1000, 0x1000, 5, 0x1000]); // load
  header(84, [4, 0x100, 0x10_0100, 0x10_0100, 20, 20, 4, 4]); // note
  header(0x100, [4, 4, 18]); // name and descriptor sizes, XEN_ELFNOTE_PHYS32_ENTRY
  elf.write("Xen\0", 0x10c, "latin1");
  elf.writeUInt32LE(entry, 0x110);
  Buffer.from([0xf4, 0xeb, 0xfd]).copy(elf, 0x200);
  return elf;
}

const backend = () =>
  qemuBackend({ cacheDir: join(dir, "cache"), env: readEnvironment({ PATH: process.env.PATH }) });
const launch = (change?: Partial<MachineSpec>, lifetime: "owner" | "detached" = "owner") =>
  backend().launch(spec(change), files, { deadline: soon(), lifetime, enclosure: NO_ENCLOSURE });
const qmp = () =>
  until("QMP answers", () => QmpClient.connect(files.control, soon(2_000)).catch(() => undefined));

describe("launching QEMU", () => {
  test("gives a machine with its control socket and all channel sockets, that quits when told", async () => {
    const machine = await launch();
    expect(isAlive(machine.vmm)).toBe(true);
    const client = await qmp();
    expect(await client.queryStatus(soon())).toBe("running");
    const chardevs = (await client.execute("query-chardev", undefined, soon())) as { label: string }[];
    expect(chardevs.map(({ label }) => label).sort()).toEqual(
      ["channel0", "channel1", "channel2", "channel3", "channel4", "console", "qmp"].sort(),
    );
    client.close();
    await until("the first client has gone", async () => {
      await backend().quit?.(files, soon(2_000));
      return true;
    });
    expect(await machine.exited).toMatchObject({ code: 0, signal: undefined });
  });

  test("runs QEMU under its seccomp filter and without more privileges to gain", async () => {
    const machine = await launch();
    const status = await until("the filter is on", () => {
      const text = readFileSync(`/proc/${machine.vmm.pid}/status`, "utf8");
      return /^Seccomp:\s*2$/m.test(text) ? text : undefined;
    });
    expect(status).toMatch(/^Seccomp:\s*2$/m);
    process.kill(machine.vmm.pid, "SIGKILL");
    await machine.exited;
  });

  test("a kernel that is none is noticed at once, with QEMU's own words", async () => {
    writeFileSync(join(dir, "nonsense"), "this is no kernel");
    const started = performance.now();
    const machine = await launch({ kernelPath: join(dir, "nonsense") });
    const exit = await machine.exited;
    expect(performance.now() - started).toBeLessThan(10_000);
    expect(exit).toMatchObject({ code: 1, stderr: "qemu: invalid kernel header" });
    expect(vmmExitError("qemu-system-x86_64", exit).code).toBe("IMAGE_INVALID");
  });

  test("a disk that another machine writes is refused, and the first goes on", async () => {
    const first = await launch();
    const client = await qmp();
    const second = vmFiles(dir, join(dir, "run"), "box2");
    mkdirSync(second.dir, { recursive: true });
    const machine = await backend().launch(spec(), second, {
      deadline: soon(),
      lifetime: "owner",
      enclosure: NO_ENCLOSURE,
    });
    const error = vmmExitError("qemu", await machine.exited);
    expect(error.code).toBe("DISK_IN_USE");
    expect(await client.queryStatus(soon())).toBe("running");
    await client.quit(soon());
    await first.exited;
  });

  test("a read-only base is shared by several machines", async () => {
    const base = { serial: "smolvm-base", path: files.upper, format: "raw", readOnly: true } as const;
    const second = vmFiles(dir, join(dir, "run"), "box2");
    mkdirSync(second.dir, { recursive: true });
    const machines = [
      await launch({ disks: [base] }),
      await backend().launch(spec({ disks: [base] }), second, {
        deadline: soon(),
        lifetime: "owner",
        enclosure: NO_ENCLOSURE,
      }),
    ];
    for (const { control } of [files, second]) {
      const client = await until("QMP answers", () =>
        QmpClient.connect(control, soon(2_000)).catch(() => undefined),
      );
      await client.quit(soon());
    }
    for (const machine of machines) expect(await machine.exited).toMatchObject({ code: 0 });
  });

  test("a QEMU that is not there is DEPENDENCY_MISSING with the way to install it", async () => {
    const nowhere = qemuBackend({ cacheDir: dir, env: readEnvironment({ SMOLVM_QEMU: join(dir, "none") }) });
    await expect(
      nowhere.launch(spec(), files, { deadline: soon(), lifetime: "owner", enclosure: NO_ENCLOSURE }),
    ).rejects.toMatchObject({
      code: "DEPENDENCY_MISSING",
      message: "qemu-system-x86_64 not found",
    });
  });

  test("a machine that ignores everything ends by a signal, and that is written down", async () => {
    const machine = await launch({ network: "off" }, "detached");
    process.kill(machine.vmm.pid, "SIGKILL");
    await waitForEnd(machine.vmm, soon());
    expect(await machine.exited).toMatchObject({ signal: "SIGKILL" });
  });
});

describe.each(["q35", "virt"] as const)("the machine %s", (machine) => {
  test("is accepted by QEMU with all its devices", async () => {
    const arch = machine === "virt" ? "aarch64" : "x86_64";
    expect(
      locateQemu(arch, { cacheDir: "/nonexistent", env: readEnvironment({ PATH: process.env.PATH }) }),
    ).toBeDefined();
    const launched = await launch({ machine, arch });
    const client = await qmp();
    expect(await client.queryStatus(soon())).toBe("running");
    await client.quit(soon());
    expect(await launched.exited).toMatchObject({ code: 0, stderr: "" });
  });
});
