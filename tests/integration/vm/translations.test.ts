import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { placedQemu } from "../../../src/host/own-qemu/place.ts";
import { type Progress, SmolVM, type VMConfig } from "../../../src/index.ts";
import { small } from "../../helpers/backends.ts";
import { useTempHome } from "../../helpers/home.ts";
import { ownQemu } from "../../helpers/own-qemu.ts";
import { PROGRAMS } from "../../helpers/program-list.ts";

process.env.SMOLVM_TEMPLATE = "auto";
delete process.env.SMOLVM_QEMU;
process.env.SMOLVM_SUPERVISOR = "off"; // templates are made when a test says so
const built = await ownQemu();
const own = built?.path;
const home = useTempHome();
// Images and QEMU from the user's cache, templates in one of its own.
const cacheOfUser = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "smolvm");
const cache = join(home, "cache", "smolvm");
mkdirSync(cache, { recursive: true, mode: 0o700 });
mkdirSync(join(cache, "qemu"), { mode: 0o700 });
for (const name of ["images", "initrd", "kernels", "qemu/built"])
  symlinkSync(join(cacheOfUser, name), join(cache, name));
// In use here, whatever the user has chosen.
writeFileSync(join(cache, "qemu", "x86_64.json"), JSON.stringify({ name: built?.name }));
process.env.XDG_CACHE_HOME = join(home, "cache");
const LONG = process.env.SMOLVM_TEST_LONG !== undefined;

const templates = join(cache, "templates");
const options = (more: VMConfig = {}): VMConfig =>
  small("qemu", { template: "auto", accelerator: "tcg", ...more });

/** The file of translated code of the one template that there is. */
function code(): string {
  const keys = readdirSync(templates).filter((name) => /^[0-9a-f]{32}$/.test(name));
  expect(keys).toHaveLength(1);
  return join(templates, keys[0]!, "code");
}

/** Starts a sandbox, with what was said of its translations. */
async function start(more: VMConfig = {}): Promise<{ vm: SmolVM; said: string[] }> {
  const heard: Progress[] = [];
  const vm = await SmolVM.create(options({ ...more, onProgress: (progress) => heard.push(progress) }));
  const said = heard.filter(({ stage }) => stage === "template").map(({ message }) => message);
  return { vm, said };
}

/** What of a process's memory is that file's, and how. */
async function mapped(vm: SmolVM, path: string): Promise<string[]> {
  const { pid } = await vm.info();
  return readFileSync(`/proc/${pid}/maps`, "utf8")
    .split("\n")
    .filter((line) => line.includes(path))
    .map((line) => line.split(" ").slice(0, 2).join(" "));
}

afterEach(async () => {
  for (const { name } of await SmolVM.list()) await (await SmolVM.get(name)).delete({ force: true });
});

describe.skipIf(own === undefined)("a QEMU that keeps what it has translated", () => {
  beforeAll(async () => void (await SmolVM.warm(options())));

  test("is what sandboxes run on, and they map the code of their template where it was", async () => {
    const { vm, said } = await start();
    expect(said).toEqual([]);
    expect((await vm.info()).startedFrom).toBe("template");
    const { program, pid, isolation } = await vm.info();
    expect(program).toBe(placedQemu({ cacheDir: cache }, own!));
    // A program without libraries sees nothing of the system.
    if (isolation.tier !== "none" && process.getuid?.() === 0)
      expect(readdirSync(`/proc/${pid}/root`)).not.toContain("usr");
    expect(await mapped(vm, code())).toEqual([
      expect.stringMatching(/^60000000-[0-9a-f]+ rwxp$/),
      expect.stringMatching(/^[0-9a-f]+-[0-9a-f]+ r--p$/),
    ]);
    expect((await vm.run("echo hi")).stdout).toBe("hi\n");
    expect(statSync(code()).mode & 0o777).toBe(0o444);
  });

  test("lies at an address that is this host's, and the same in all sandboxes", async () => {
    const lies = async (vm: SmolVM): Promise<string[]> => await mapped(vm, "/bin/qemu-system-x86_64");
    const [first, second] = [(await start()).vm, (await start()).vm];
    const places = await lies(first);
    expect(await lies(second)).toEqual(places);
    const base = Number.parseInt(places[0]!, 16);
    expect(base).toBeGreaterThanOrEqual(0x40_0000);
    expect(base).toBeLessThan(0x1c00_0000);
    // Its own data apart, nothing of the file was written to: what start-up code would write is in it.
    expect(places.filter((place) => place.endsWith(" rw-p"))).toHaveLength(1);
    const other = placedQemu({ cacheDir: join(home, "other") }, own!);
    const entry = (program: string): bigint => readFileSync(program).readBigUInt64LE(24);
    expect(entry(other)).not.toBe(entry(placedQemu({ cacheDir: cache }, own!)));
  });

  test("gives it to forks and snapshots of what runs, and not to those that are imported", async () => {
    const { vm } = await start();
    await vm.run("python3 -c 'print(1)'");
    const [child] = await vm.fork();
    expect(await mapped(child!, "code (deleted)")).toHaveLength(2);
    expect((await child!.run("python3 -c 'print(2)'")).stdout).toBe("2\n");

    await vm.snapshot("kept");
    const restored = await SmolVM.restore("kept");
    expect(await mapped(restored, join("snapshots", "kept", "code"))).toHaveLength(2);
    expect((await restored.run("python3 -c 'print(3)'")).stdout).toBe("3\n");

    const file = join(home, "kept.smolvm");
    await SmolVM.snapshots.export("kept", file);
    await SmolVM.snapshots.delete("kept");
    await SmolVM.snapshots.import(file, { trust: true });
    const again = await SmolVM.restore("kept");
    expect(await mapped(again, "/code")).toEqual([]);
    expect((await again.run("python3 -c 'print(4)'")).stdout).toBe("4\n");
    await SmolVM.snapshots.delete("kept");
  });

  /** What the template's manifest says. */
  const manifestFile = (): string => join(code(), "..", "manifest.json");

  /** Changes a file of translated code, and has the template's manifest say that it was always so, and that this machine was booted since. */
  function forge(change: (path: string) => void): void {
    const path = code();
    chmodSync(path, 0o600);
    change(path);
    const text = JSON.parse(readFileSync(manifestFile(), "utf8"));
    text.seen.bootId = "an earlier one";
    if (existsSync(path)) {
      chmodSync(path, 0o555);
      const { size, ino, mtimeMs, ctimeMs } = statSync(path);
      text.code = { size, inode: ino, mtimeMs, ctimeMs };
    }
    writeFileSync(manifestFile(), JSON.stringify(text));
  }
  const flip = (at: number) => (path: string) => {
    const file = openSync(path, "r+");
    writeSync(file, Buffer.from([readFileSync(path)[at]! ^ 4]), 0, 1, at);
    closeSync(file);
  };
  const exchange = (path: string): void => {
    rmSync(path);
    mkdirSync(path);
  };
  const damages: Record<string, [(path: string) => void, string]> = {
    "is gone": [(path) => rmSync(path), "ENOENT"],
    "is empty": [(path) => writeFileSync(path, ""), "it is none, or cut"],
    "is cut": [(path) => writeFileSync(path, readFileSync(path).subarray(0, 1 << 20)), "it is none, or cut"],
    "has another word in its code": [flip(1 << 20), "it is damaged"],
    "has another word in its header": [flip(100), "it is damaged"],
    "is a directory": [exchange, "it is none, or cut"],
  };
  test.each(Object.entries(damages))(
    "starts sandboxes without, where the file %s, and says so",
    async (_, [damage, why]) => {
      const whole = join(home, "whole");
      rmSync(whole, { force: true }); // it may be read and not written, as the one that it is of
      copyFileSync(code(), whole);
      try {
        forge(damage);
        const { vm, said } = await start();
        expect(said).toEqual([expect.stringContaining("without kept translations: ")]);
        expect(said[0]).toContain(why);
        expect((await vm.run("echo hi")).stdout).toBe("hi\n");
        expect((await vm.info()).startedFrom).toBe("template");
      } finally {
        rmSync(code(), { recursive: true, force: true });
        copyFileSync(whole, code());
        forge(() => {});
      }
    },
  );

  test("looks whether the file is whole once in each boot of this machine", async () => {
    forge(() => {});
    const bootId = (): string => JSON.parse(readFileSync(manifestFile(), "utf8")).seen.bootId;
    expect(bootId()).toBe("an earlier one");
    const { said } = await start();
    expect(said).toEqual([]);
    expect(bootId()).toBe(readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim());
    const { vm, said: saidThen } = await start();
    expect(saidThen).toEqual([]);
    expect(await mapped(vm, code())).toHaveLength(2);
    expect((await vm.run("echo hi")).stdout).toBe("hi\n");
  });

  test("starts sandboxes without, where something has written to the file", async () => {
    chmodSync(code(), 0o644);
    const { vm, said } = await start();
    expect(said).toEqual(["without kept translations: their file was changed or moved"]);
    await vm.delete();
    forge(() => {});
    expect((await start()).said).toEqual([]);
  });

  test("keeps nothing for several processors, nor for the machines that it has not", async () => {
    const two = options({ vcpuCount: 2 });
    await SmolVM.warm(two);
    const { vm, said } = await start({ vcpuCount: 2 });
    expect(said).toEqual(["without kept translations: the machine has several processors"]);
    expect((await vm.run("nproc")).stdout).toBe("2\n");
    const q35 = await SmolVM.create(options({ qemuMachine: "q35", template: "off" }));
    expect(readFileSync(`/proc/${(await q35.info()).pid}/cmdline`, "latin1").split("\0")[0]).not.toBe(own);
    rmSync(templates, { recursive: true });
    await SmolVM.warm(options());
  });

  test(`loses none of ${LONG ? 2000 : 50} sandboxes that start from it`, async () => {
    for (let n = 0; n < (LONG ? 2000 : 50); n++) {
      const { vm, said } = await start();
      expect(said).toEqual([]);
      expect((await vm.run(`echo $((${n} * 7)); seq ${n} | md5sum | wc -c`)).stdout).toBe(`${n * 7}\n36\n`);
      await vm.delete();
    }
  }, 1_800_000);
});

describe.skipIf(own === undefined)("programs print the same", () => {
  /** Runs all lines, some in each of several sandboxes that are started anew. */
  async function outputs(more: VMConfig, expected: RegExp | undefined): Promise<string[]> {
    const results: string[] = [];
    const sandboxes = LONG ? PROGRAMS.length : 6;
    for (let n = 0; n < sandboxes; n++) {
      const { vm, said } = await start(more);
      expect((await vm.info()).startedFrom).toBe("template");
      if (expected === undefined) expect(said).toEqual([]);
      else expect(said).toEqual([expect.stringMatching(expected)]);
      for (let line = n; line < PROGRAMS.length; line += sandboxes) {
        const { stdout, stderr, exitCode, signal } = await vm.run(PROGRAMS[line]!, { timeoutMs: 120_000 });
        results[line] = JSON.stringify({ stdout, stderr, exitCode, signal });
      }
      await vm.delete();
    }
    return results;
  }

  test(`on kept translations, without them, and on the distribution's QEMU (${PROGRAMS.length} lines)`, async () => {
    await SmolVM.warm(options());
    const kept = await outputs({}, undefined);
    chmodSync(code(), 0o640);
    const anew = await outputs({}, /changed or moved/);
    process.env.SMOLVM_QEMU = "qemu-system-x86_64";
    try {
      await SmolVM.warm(options());
      const distribution = await outputs({}, /this QEMU keeps none/);
      for (const [index, line] of PROGRAMS.entries()) {
        expect(kept[index], line).toBe(anew[index]);
        // A newer QEMU may say more of its CPU.
        if (!line.includes("/proc/cpuinfo")) expect(kept[index], line).toBe(distribution[index]);
      }
      const failed = kept.filter((result) => JSON.parse(result).exitCode !== 0).length;
      expect(failed).toBeLessThan(15);
    } finally {
      delete process.env.SMOLVM_QEMU;
    }
  }, 3_600_000);
});
