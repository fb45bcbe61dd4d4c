import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { processPaths } from "../../src/host/files/paths.ts";
import { findImage } from "../../src/images/boot/find.ts";
import { anyKernel } from "../../src/images/store/kernel-store.ts";
import { SmolVM } from "../../src/index.ts";
import { ARCH, BACKENDS, small } from "../helpers/backends.ts";
import { useTempHome } from "../helpers/home.ts";

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
    const { kernelPath } = await findImage(processPaths(), "debian", ARCH);
    const { rootfsPath } = await findImage(processPaths(), "minimal", ARCH);
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
    await expect(SmolVM.create(small(backend, { image: "nosuch", pull: "never" }))).rejects.toMatchObject({
      code: "IMAGE_NOT_FOUND",
    });
    await expect(
      SmolVM.create(small(backend, { image: "python:3.12", pull: "never" })),
    ).rejects.toMatchObject({
      code: "IMAGE_NOT_FOUND",
      hint: expect.stringContaining("smolvm image pull python:3.12"),
    });
  });

  test("in too short a time is given up, with the stage it had come to", async () => {
    const started = performance.now();
    await (await SmolVM.create(small(backend))).delete();
    let timeoutMs = performance.now() - started;
    let error: unknown;
    // Half of it: the machine has been launched by then, and has not yet answered, unless this host has become faster meanwhile.
    for (let attempt = 0; attempt < 4 && error === undefined; attempt++) {
      timeoutMs = Math.round(timeoutMs / 2);
      try {
        await (await SmolVM.create({ ...small(backend), timeoutMs })).delete();
      } catch (reason) {
        error = reason;
      }
    }
    expect(error).toMatchObject({ code: "BOOT_TIMEOUT", hint: expect.stringContaining("timeoutMs") });
  });
});
