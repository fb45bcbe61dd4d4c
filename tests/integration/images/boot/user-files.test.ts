import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, describe, expect, test } from "vitest";
import { resolveBoot } from "../../../../src/images/boot/boot.ts";
import {
  checkUserInitrd,
  checkUserRootfs,
  prepareUserKernel,
} from "../../../../src/images/boot/user-files.ts";
import { decodeLz4Legacy } from "../../../../src/images/formats/lz4.ts";
import { extractVmlinux } from "../../../../src/images/kernel/vmlinux.ts";
import { vmlinux } from "../../../unit/images/kernel/elf-files.ts";

const dir = mkdtempSync(join(tmpdir(), "smt-user-"));
const dirs = { cacheDir: join(dir, "cache") };
afterAll(() => rmSync(dir, { recursive: true, force: true }));

let count = 0;
const fresh = (): string => join(dir, `file-${count++}`);
function file(content: string | Uint8Array): string {
  const path = fresh();
  writeFileSync(path, content);
  return path;
}

describe("a kernel of the user's own", () => {
  test("that can be booted as it is stays where it is", async () => {
    const path = file(vmlinux());
    expect((await prepareUserKernel(dirs, path, "x86_64")).path).toBe(path);
  });

  test("that is compressed is unpacked once", async () => {
    const path = file(gzipSync(vmlinux()));
    const unpacked = await prepareUserKernel(dirs, path, "x86_64");
    expect(unpacked.path).not.toBe(path);
    expect(vmlinux().equals(readFileSync(unpacked.path))).toBe(true);
    expect(await prepareUserKernel(dirs, path, "x86_64")).toEqual(unpacked);
    // the same kernel in another wrapping is the same file
    expect(await prepareUserKernel(dirs, file(gzipSync(vmlinux(), { level: 1 })), "x86_64")).toEqual(
      unpacked,
    );
  });

  test("for another architecture is refused", async () => {
    await expect(prepareUserKernel(dirs, file(vmlinux()), "aarch64")).rejects.toMatchObject({
      code: "IMAGE_INVALID",
      message: expect.stringContaining("is for x86_64, and the sandbox is aarch64"),
    });
  });

  test("that is not there, a directory or not a kernel is told with the option's name or the path", async () => {
    const missing = join(dir, "missing");
    await expect(prepareUserKernel(dirs, missing, "x86_64")).rejects.toMatchObject({
      code: "FILE_NOT_FOUND",
      message: `kernelPath: there is no file '${missing}'`,
    });
    await expect(prepareUserKernel(dirs, dir, "x86_64")).rejects.toMatchObject({ code: "FILE_TYPE" });
    await expect(prepareUserKernel(dirs, file("#!/bin/sh"), "x86_64")).rejects.toMatchObject({
      code: "IMAGE_INVALID",
    });
  });

  test("that the lz4 tool compressed is decoded to the same bytes", async () => {
    // runs, text and noise, over more than one block of 8 MiB
    const plain = Buffer.alloc(20 * 2 ** 20);
    for (let at = 0; at < plain.length; at += 4096) {
      const kind = (at / 4096) % 3;
      if (kind === 0) plain.fill(at, at, at + 4096);
      else if (kind === 1) plain.write(`line ${at} of the kernel\n`.repeat(150), at);
      else for (let i = at; i < at + 4096; i++) plain[i] = (i * 2654435761) >>> 13;
    }
    const path = file(plain);
    execFileSync("lz4", ["-l", "-9", "-q", path, `${path}.lz4`]);
    expect(plain.equals(decodeLz4Legacy(readFileSync(`${path}.lz4`), 2 ** 30))).toBe(true);
  });

  test.each([
    ["lz4", ["-l", "-9", "-q"]],
    ["zstd", ["-19", "-q"]],
    ["gzip", ["-9"]],
  ])("in a file that %s made is unpacked", async (tool, args) => {
    const path = file(vmlinux({ filler: 100_000 }));
    const packed = execFileSync(tool, [...args, "-c", path], { maxBuffer: 2 ** 24 });
    expect(vmlinux({ filler: 100_000 }).equals((await extractVmlinux(packed, "/k")).bytes)).toBe(true);
  });
});

describe("a root file system of the user's own", () => {
  /** A real file system of this kind. */
  function make(kind: "ext4" | "squashfs" | "erofs"): string {
    const path = fresh();
    const tree = join(dir, "tree");
    mkdirSync(tree, { recursive: true });
    writeFileSync(join(tree, "hello"), "hello");
    if (kind === "ext4") execFileSync("mke2fs", ["-q", "-t", "ext4", "-d", tree, path, "8M"]);
    else if (kind === "erofs") execFileSync("mkfs.erofs", [path, tree], { stdio: "pipe" });
    else
      execFileSync("sh", ["-c", 'tar -C "$1" -c . | tar2sqfs -q "$2"', "sh", tree, path], { stdio: "pipe" });
    return path;
  }

  test.each(["ext4", "squashfs", "erofs"] as const)("is told by its content: %s", async (kind) => {
    expect(await checkUserRootfs(make(kind), { readOnly: true })).toEqual({
      format: kind,
      needsRecovery: false,
    });
  });

  test("that was not unmounted cleanly is refused where it is used read-only", async () => {
    const path = make("ext4");
    execFileSync("debugfs", ["-w", "-R", "feature needs_recovery", path], { stdio: "pipe" });
    await expect(checkUserRootfs(path, { readOnly: true })).rejects.toMatchObject({
      code: "IMAGE_INVALID",
      hint: expect.stringContaining(`e2fsck -fy '${path}'`),
    });
    expect((await checkUserRootfs(path, { readOnly: false })).format).toBe("ext4");
  });

  test("that may not be read is told", async () => {
    const path = make("ext4");
    chmodSync(path, 0o000);
    const check = checkUserRootfs(path, { readOnly: true });
    if (process.getuid?.() === 0)
      await check; // root reads anything
    else
      await expect(check).rejects.toMatchObject({
        code: "FILE_PERMISSION",
        hint: `Allow it: chmod +r '${path}'`,
      });
  });
});

describe("an initramfs of the user's own", () => {
  test("is a cpio archive, compressed or not", async () => {
    for (const content of ["070701000", gzipSync("070701"), "BZh9", Buffer.from("28b52ffd00", "hex")]) {
      await checkUserInitrd(file(content));
    }
    await expect(checkUserInitrd(file("#!/bin/sh"))).rejects.toMatchObject({
      code: "IMAGE_INVALID",
      hint: expect.stringContaining("cpio"),
    });
  });
});

test("mistakes in the user's files are told before a missing image is", async () => {
  const request = {
    arch: "x86_64",
    machine: "microvm",
    nic: false,
    image: "debian",
  } as const;
  await expect(resolveBoot(dirs, { ...request, kernelPath: "/no/kernel" })).rejects.toMatchObject({
    code: "FILE_NOT_FOUND",
  });
  await expect(resolveBoot(dirs, { ...request, rootfsPath: file("no") })).rejects.toMatchObject({
    code: "IMAGE_INVALID",
  });
  await expect(resolveBoot(dirs, { ...request, initrdPath: file("no") })).rejects.toMatchObject({
    code: "IMAGE_INVALID",
  });
  await expect(resolveBoot(dirs, request)).rejects.toMatchObject({ code: "IMAGE_NOT_FOUND" });
});
