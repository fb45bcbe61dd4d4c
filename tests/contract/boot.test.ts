import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { processPaths } from "../../src/host/paths.ts";
import { anyKernel } from "../../src/images/kernel-build/kernel-store.ts";
import { resolveImage } from "../../src/images/store.ts";
import { SmolVM } from "../../src/index.ts";
import { ARCH, BACKENDS, small } from "../helpers/backends.ts";
import { useTempHome } from "../helpers/home.ts";
import { scaled } from "../helpers/speed.ts";

useTempHome();

describe.each(BACKENDS)("what is booted on %s", (backend) => {
  test("is the image's own kernel, or the fast one, as was asked for", async () => {
    await using vm = await SmolVM.create(small(backend, { kernel: "debian" }));
    expect((await vm.run("uname -r")).stdout).toMatch(/-cloud-/);
    expect((await vm.info()).kernel).toBe("debian");
    const fast = small(backend, { kernel: "fast" });
    if ((await anyKernel(processPaths(), ARCH)) === undefined) {
      await expect(SmolVM.create(fast)).rejects.toMatchObject({
        code: "IMAGE_NOT_FOUND",
        hint: `Build it: smolvm image kernel build --arch ${ARCH}`,
      });
      return;
    }
    await using other = await SmolVM.create(fast);
    expect((await other.run("uname -r")).stdout).toMatch(/-smolvm$/m);
    expect((await other.info()).kernel).toBe("fast");
  });

  let directory: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "smolvm-boot-"));
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  test("can be a kernel and a root file system of one's own", async () => {
    const { kernelPath } = await resolveImage(processPaths(), "debian", ARCH);
    const { rootfsPath } = await resolveImage(processPaths(), "minimal", ARCH);
    await using vm = await SmolVM.create(small(backend, { rootfsPath }));
    expect(await vm.info()).toMatchObject({ image: "custom" });
    expect((await vm.run("echo own root")).stdout).toBe("own root\n");
    // A file with the content of the image's kernel gets that kernel's modules, wherever it lies.
    const copy = join(directory, "vmlinux");
    copyFileSync(kernelPath, copy);
    await using other = await SmolVM.create(small(backend, { kernelPath: copy }));
    expect((await other.run("echo own kernel")).stdout).toBe("own kernel\n");
  });

  test.each([
    ["kernelPath", "IMAGE_INVALID"],
    ["rootfsPath", "IMAGE_INVALID"],
  ] as const)("is checked before anything is started: %s", async (option, code) => {
    const file = join(directory, option);
    writeFileSync(file, "neither a kernel nor a file system".repeat(100));
    await expect(SmolVM.create(small(backend, { [option]: file }))).rejects.toMatchObject({ code });
    await expect(SmolVM.create(small(backend, { [option]: `${file}-absent` }))).rejects.toMatchObject({
      code: "FILE_NOT_FOUND",
    });
    expect(await SmolVM.list()).toEqual([]);
  });

  test("of an unknown image is refused with the command that builds it", async () => {
    await expect(SmolVM.create(small(backend, { image: "nosuch" }))).rejects.toMatchObject({
      code: "IMAGE_NOT_FOUND",
    });
    await expect(SmolVM.create(small(backend, { image: "python:3.12" }))).rejects.toMatchObject({
      code: "NOT_SUPPORTED",
    });
  });

  test("in too short a time is given up, with the stage it had come to", async () => {
    const error = await SmolVM.create({ ...small(backend), timeoutMs: 400 }).catch(
      (reason: unknown) => reason,
    );
    expect(error).toMatchObject({ code: "BOOT_TIMEOUT", hint: expect.stringContaining("timeoutMs") });
  });
});

describe("QEMU's other machines", () => {
  test("q35 boots the same image", async () => {
    await using vm = await SmolVM.create({
      ...small("qemu", { arch: "x86_64", kernel: "debian", qemuMachine: "q35" }),
      timeoutMs: scaled(60_000),
    });
    expect(await vm.info()).toMatchObject({ machine: "q35" });
    expect((await vm.run("ls /sys/bus/pci/devices | wc -l; echo hi")).stdout).toMatch(/^[1-9]\d*\nhi\n$/);
  });

  test("an aarch64 guest runs commands, files and a terminal", async () => {
    await using vm = await SmolVM.create({
      ...small("qemu", { arch: "aarch64", image: "minimal" }),
      timeoutMs: scaled(60_000),
    });
    expect(await vm.info()).toMatchObject({ arch: "aarch64", machine: "virt", accelerator: "tcg" });
    expect((await vm.run("uname -m")).stdout).toBe("aarch64\n");
    await vm.files.write("/root/file", "over there");
    expect(await vm.files.readText("/root/file")).toBe("over there");
    let output = "";
    for await (const { data } of vm.spawn("stty size", { pty: { cols: 90, rows: 20 } }))
      output += Buffer.from(data);
    expect(output).toBe("20 90\r\n");
    await vm.stop();
    expect((await vm.info()).state).toBe("stopped");
  });
});
