import { appendFileSync, chmodSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { BACKEND_FEATURES } from "../../src/backends/features.ts";
import type { BackendName } from "../../src/config/spec.ts";
import { SmolVM } from "../../src/index.ts";
import { MAX_LAYERS } from "../../src/snapshots/layers.ts";
import { BACKENDS, small } from "../helpers/backends.ts";
import { cli } from "../helpers/cli.ts";
import { useTempHome } from "../helpers/home.ts";
import { scaled } from "../helpers/speed.ts";

const home = useTempHome();
const snapshots = join(home, "data", "smolvm", "snapshots");
const directory = mkdtempSync(join(tmpdir(), "smolvm-layers-"));
afterAll(() => rmSync(directory, { recursive: true }));

const able = BACKENDS.filter((backend) => BACKEND_FEATURES[backend as BackendName].snapshots);

const print = async (vm: SmolVM): Promise<string> => (await vm.run("cat /dev/shm/* /root/*")).stdout;
/** Adds to memory and disk. */
const note = async (vm: SmolVM, word: string): Promise<unknown> =>
  vm.run(`echo memory ${word} > /dev/shm/${word}; echo disk ${word} > /root/${word}; sync`, { check: true });

describe.each(able)("snapshots of restored sandboxes on %s", (backend) => {
  afterEach(async () => {
    for (const vm of await SmolVM.list()) await SmolVM.from(vm).delete({ force: true });
    // Those that are the difference to others are newer than these.
    for (const { name } of (await SmolVM.snapshots.list()).reverse()) await SmolVM.snapshots.delete(name);
    for (const name of readdirSync(snapshots)) rmSync(join(snapshots, name), { recursive: true });
  });

  /** A snapshot `first`, and one `second` of a sandbox that was restored from it. */
  async function two(): Promise<void> {
    await using vm = await SmolVM.create(small(backend));
    await note(vm, "1");
    await vm.snapshot("first");
    const restored = await SmolVM.restore("first");
    await note(restored, "2");
    await restored.snapshot("second");
    await restored.delete({ force: true });
  }

  test(
    "are the difference to what those went on from, which stays as long as it is needed",
    async () => {
      await two();
      const [first, second] = await SmolVM.snapshots.list();
      expect(first).toMatchObject({ base: undefined, users: ["second"], layers: [{ name: "first" }] });
      expect(second).toMatchObject({
        base: "first",
        users: [],
        layers: [{ name: "first" }, { name: "second" }],
      });
      expect(second!.diskBytes).toBeLessThan(first!.diskBytes / 3);
      expect(second!.layers[0]).toEqual({
        name: "first",
        digest: first!.digest,
        diskBytes: first!.diskBytes,
      });

      const [restored, again] = await Promise.all([1, 2].map(() => SmolVM.restore("second")));
      for (const vm of [restored!, again!])
        expect(await print(vm)).toBe("memory 1\nmemory 2\ndisk 1\ndisk 2\n");
      await note(restored!, "3");
      const [child] = await restored!.fork(); // it has the same below it
      await note(child!, "4");
      expect(await child!.snapshot("third")).toMatchObject({ base: "second" });
      await child!.snapshot("disk", { kind: "disk" });
      const all = "memory 1\nmemory 2\nmemory 3\nmemory 4\ndisk 1\ndisk 2\ndisk 3\ndisk 4\n";
      expect(await print(await SmolVM.restore("third"))).toBe(all);
      const booted = await SmolVM.restore("third", { diskOnly: true });
      expect((await booted.run("cat /root/*")).stdout).toBe("disk 1\ndisk 2\ndisk 3\ndisk 4\n");
      expect((await (await SmolVM.restore("disk")).run("cat /root/*")).stdout).toBe(
        "disk 1\ndisk 2\ndisk 3\ndisk 4\n",
      );

      await expect(SmolVM.snapshots.delete("first")).rejects.toMatchObject({
        code: "SNAPSHOT_IN_USE",
        message: expect.stringContaining("third, disk, second"),
        hint: expect.stringContaining("smolvm snapshot rm third disk second"),
        details: { users: ["third", "disk", "second"] },
      });
      expect((await cli(["snapshot", "ls"])).text).toMatch(/^second +full .* first +/m);
      expect((await cli(["snapshot", "inspect", "third"])).text).toMatch(
        /layers: +first \(.*\), second \(.*\), third \(/,
      );
      expect((await cli(["snapshot", "inspect", "first"])).text).toMatch(/needed by: +second/);
      expect((await cli(["snapshot", "rm", "third", "disk", "second", "first"])).code).toBe(0);
      // A sandbox that has lost what it came from is saved whole.
      expect(await again!.snapshot("alone")).toMatchObject({ base: undefined });
      expect(await print(await SmolVM.restore("alone"))).toBe("memory 1\nmemory 2\ndisk 1\ndisk 2\n");
    },
    scaled(60_000),
  );

  test("need all that is below them as it was", async () => {
    await two();
    const memory = join(snapshots, "first", "memory");
    chmodSync(memory, 0o644);
    appendFileSync(memory, "x");
    const refused = (words: string): object => ({
      code: "SNAPSHOT_INVALID",
      message: expect.stringContaining(`the difference to 'first', which is ${words}`),
      hint: expect.stringContaining("smolvm snapshot rm second"),
    });
    await expect(SmolVM.restore("second")).rejects.toMatchObject(refused("damaged"));
    await expect(SmolVM.snapshots.export("second", join(directory, "x"))).rejects.toMatchObject(
      refused("damaged"),
    );
    rmSync(join(snapshots, "first"), { recursive: true });
    await expect(SmolVM.restore("second")).rejects.toMatchObject(refused("missing or was changed"));
    expect(await SmolVM.snapshots.get("second")).toMatchObject({
      base: "first",
      layers: [{ name: "second" }],
    });
    expect((await cli(["snapshot", "inspect", "second"])).text).toContain("'first' is missing");
    const map = join(snapshots, "second", "memory.map");
    expect(statSync(map).mode & 0o077).toBe(0o044); // in a directory for its owner alone
    await SmolVM.snapshots.delete("second");
    expect(await SmolVM.list()).toEqual([]);
  });

  test("are whole as files, and so are those that are taken in", async () => {
    await two();
    const file = join(directory, `${backend}.tar.zst`);
    await SmolVM.snapshots.export("second", file);
    await SmolVM.snapshots.delete("second");
    await SmolVM.snapshots.delete("first");
    expect(await SmolVM.snapshots.import(file, { trust: true })).toMatchObject({
      name: "second",
      base: undefined,
    });
    expect(await print(await SmolVM.restore("second"))).toBe("memory 1\nmemory 2\ndisk 1\ndisk 2\n");
  });

  test(
    "are not built up without an end",
    async () => {
      const vm = await SmolVM.create(small(backend));
      await vm.snapshot("s0", { kind: "disk" });
      await vm.delete({ force: true });
      for (let level = 1; level <= MAX_LAYERS; level++) {
        const restored = await SmolVM.restore(`s${level - 1}`);
        await restored.run(`echo ${level} >> /root/levels; sync`);
        const info = await restored.snapshot(`s${level}`, { kind: "disk" });
        expect(info.base).toBe(level === MAX_LAYERS ? undefined : `s${level - 1}`);
        expect(info.layers.length).toBe(level === MAX_LAYERS ? 1 : level + 1);
        await restored.delete({ force: true });
      }
      const last = await SmolVM.restore(`s${MAX_LAYERS}`);
      expect((await last.run("cat /root/levels")).stdout.trim().split("\n").length).toBe(MAX_LAYERS);
    },
    scaled(60_000),
  );
});
