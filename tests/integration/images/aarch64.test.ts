import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { MINIMAL_COMMANDS } from "../../../src/images/rootfs/minimal.ts";
import { SmolVM } from "../../../src/smolvm.ts";
import { useTempHome } from "../../helpers/home.ts";
import { scaled } from "../../helpers/speed.ts";

useTempHome();

// Emulated on x86-64, on the machine virt, from the minimal image.
describe("a guest for aarch64", { timeout: scaled(120_000) }, () => {
  let vm: SmolVM;
  beforeAll(async () => {
    vm = await SmolVM.create({
      backend: "qemu",
      arch: "aarch64",
      image: "minimal",
      network: "off",
      memSizeMib: 256,
    });
  });
  afterAll(() => vm?.delete({ force: true }));

  test("runs commands", async () => {
    const { stdout, exitCode } = await vm.run("uname -m; id -u; exit 7");
    expect({ stdout, exitCode }).toEqual({ stdout: "aarch64\n0\n", exitCode: 7 });
  });

  test("has every command that the minimal image promises", async () => {
    const { stdout } = await vm.run("busybox --list");
    const applets = new Set(stdout.trim().split("\n"));
    expect(MINIMAL_COMMANDS.filter((name) => !applets.has(name))).toEqual([]);
  });

  test("keeps files, byte for byte", async () => {
    const data = randomBytes(300_000);
    await vm.files.write("/root/data", data);
    expect(data.equals(await vm.files.read("/root/data"))).toBe(true);
    const { stdout } = await vm.run(["wc", "-c", "/root/data"]);
    expect(stdout.trim()).toBe("300000 /root/data");
  });

  test("gives a terminal", async () => {
    const shell = vm.spawn(["sh", "-c", "tty; stty size"], { pty: { cols: 91, rows: 17 } });
    let seen = "";
    for await (const { data } of shell) seen += Buffer.from(data).toString();
    expect(seen.replaceAll("\r", "")).toBe("/dev/pts/0\n17 91\n");
    expect((await shell.wait()).exitCode).toBe(0);
  });

  test("has the disk that was asked for", async () => {
    const { stdout } = await vm.run("df -m / | tail -n 1");
    const [, size] = stdout.trim().split(/\s+/);
    expect(Number(size)).toBeGreaterThan(1850); // less the tables of an inode for each block
    expect(Number(size)).toBeLessThanOrEqual(2048);
  });
});
