import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { BACKEND_FEATURES } from "../../src/backends/features.ts";
import type { BackendName } from "../../src/config/spec.ts";
import { SmolVM } from "../../src/index.ts";
import { BACKENDS, small } from "../helpers/backends.ts";
import { cli } from "../helpers/cli.ts";
import { useTempHome } from "../helpers/home.ts";

const home = useTempHome();
const directory = mkdtempSync(join(tmpdir(), "smolvm-exported-"));
afterAll(() => rmSync(directory, { recursive: true }));
const snapshots = join(home, "data", "smolvm", "snapshots");
const able = BACKENDS.filter((backend) => BACKEND_FEATURES[backend as BackendName].snapshots);

describe.each(able)("a snapshot as a file on %s", (backend) => {
  const file = join(directory, `${backend}.tar.zst`);
  /** The file with a word of its manifest, or of what follows, replaced by one as long. */
  function changed(from: string, to: string): string {
    expect(to.length).toBe(from.length);
    const archive = zstdDecompressSync(readFileSync(file));
    const at = archive.indexOf(from);
    expect(at).toBeGreaterThan(0);
    archive.write(to, at, "latin1");
    const path = join(directory, "changed");
    writeFileSync(path, zstdCompressSync(archive));
    return path;
  }

  beforeAll(async () => {
    await using vm = await SmolVM.create(small(backend, { env: { FROM: "before" } }));
    await vm.run(
      "echo on the disk, which holds the word sentinel > /root/file; echo in memory > /dev/shm/file; sync",
    );
    await vm.snapshot("it");
    await SmolVM.snapshots.export("it", file);
    await SmolVM.snapshots.delete("it");
  });
  afterEach(async () => {
    for (const vm of await SmolVM.list()) await SmolVM.from(vm).delete({ force: true });
    for (const { name } of await SmolVM.snapshots.list()) await SmolVM.snapshots.delete(name);
    expect(existsSync(snapshots) ? readdirSync(snapshots) : []).toEqual([]);
  });

  test("is for its owner alone, small, and in no form of our own", () => {
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(statSync(file).size).toBeLessThan(100 * 2 ** 20);
    expect(zstdDecompressSync(readFileSync(file)).subarray(257, 262).toString()).toBe("ustar");
  });

  test("its disk is taken, and its memory only with trust", async () => {
    expect(await SmolVM.snapshots.import(file)).toMatchObject({ name: "it", kind: "disk" });
    const booted = await SmolVM.restore("it");
    expect((await booted.run("cat /root/file; ls /dev/shm; echo $FROM")).stdout).toBe(
      "on the disk, which holds the word sentinel\nbefore\n",
    );
    await expect(SmolVM.snapshots.import(file)).rejects.toMatchObject({ code: "SNAPSHOT_EXISTS" });

    expect(await SmolVM.snapshots.import(file, { name: "all", trust: true })).toMatchObject({ kind: "full" });
    const restored = await SmolVM.restore("all");
    expect((await restored.run("cat /root/file /dev/shm/file; echo $FROM")).stdout).toBe(
      "on the disk, which holds the word sentinel\nin memory\nbefore\n",
    );
    const { isolation } = await restored.info();
    expect(isolation.least).toBe("user");
    expect(["user", "jail"]).toContain(isolation.tier);
  });

  test.each([
    ["a byte of its disk", "which holds the word sentinel", "which holds the word sentinal"],
    ["a hash", '"sha256":"', '"sha256":!'],
    ["its version", '"smolvmSnapshot":1', '"smolvmSnapshot":2'],
    ["its name, into a path", '"name":"it"', '"name":".."'],
    ["its kind", '"kind":"full"', '"kind":"fool"'],
  ])("with %s changed it is refused, and nothing of it is left", async (_, from, to) => {
    await expect(SmolVM.snapshots.import(changed(from, to), { trust: true })).rejects.toMatchObject({
      code: expect.stringMatching(/^(SNAPSHOT_INVALID|CONFIG_INVALID)$/),
    });
  });

  test.each([
    ["image", '"imageDigest":"', '"imageDigest":"', "the image"],
    ["processor", '"cpu":"', '"cpu":"', "this machine's processor"],
    ["kernel", '"kernel":"', '"kernel":"', "the kernel"],
  ])("made for another %s it is refused with the reason", async (_, before, __, reason) => {
    const archive = zstdDecompressSync(readFileSync(file));
    const at = archive.lastIndexOf(before, archive.indexOf('"initrd":"')) + before.length;
    const old = archive.toString("latin1", at, at + 4);
    const other = old === "0000" ? "1111" : "0000";
    archive.write(other, at, "latin1");
    const path = join(directory, "other");
    writeFileSync(path, zstdCompressSync(archive));
    await expect(SmolVM.snapshots.import(path, { trust: true })).rejects.toMatchObject({
      code: "SNAPSHOT_INCOMPATIBLE",
      details: { reasons: [expect.stringContaining(reason)] },
    });
  });

  test("cut anywhere, and what is no such file, is refused", async () => {
    const whole = readFileSync(file);
    const path = join(directory, "cut");
    for (const length of [0, 1, 100, whole.length >> 1, Math.floor(whole.length * 0.95)]) {
      writeFileSync(path, whole.subarray(0, length));
      await expect(SmolVM.snapshots.import(path)).rejects.toMatchObject({ code: "SNAPSHOT_INVALID" });
    }
    writeFileSync(path, "no archive at all");
    await expect(SmolVM.snapshots.import(path)).rejects.toMatchObject({ code: "SNAPSHOT_INVALID" });
    await expect(SmolVM.snapshots.import(join(directory, "none"))).rejects.toMatchObject({
      code: "FILE_NOT_FOUND",
    });
    await expect(SmolVM.snapshots.import(directory)).rejects.toMatchObject({
      code: "FILE_TYPE",
      message: `'${directory}' is a directory`,
    });
  });

  test("on the command line, and never over a file that is there", async () => {
    expect((await cli(["snapshot", "import", "--trust", "--name", "again", file])).text).toBe("again\n");
    expect((await cli(["snapshot", "export", "again", file])).stderr).toContain("exists");
    const missing = join(directory, "missing");
    expect((await cli(["snapshot", "export", "again", join(missing, "file")])).stderr).toContain(
      `mkdir -p '${missing}'`,
    );
    const second = join(directory, "second.tar.zst");
    expect(await cli(["snapshot", "export", "again", second])).toMatchObject({
      code: 0,
      text: `${second}\n`,
    });
    const inspected = JSON.parse((await cli(["snapshot", "inspect", "--json", "again"])).text);
    expect(inspected.data).toMatchObject({ name: "again", kind: "full" });
    expect((await cli(["snapshot", "export", "none", join(directory, "x")])).stderr).toContain(
      "smolvm snapshot ls",
    );
    expect(readdirSync(directory).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  });
});
