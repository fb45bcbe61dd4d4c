import { gzipSync, zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { detectKernelFormat, kernelArch } from "../../../../src/images/formats/kernel-format.ts";
import { extractVmlinux } from "../../../../src/images/kernel/vmlinux.ts";
import { vmlinux } from "./elf-files.ts";

/** The end of a bzImage's setup part (boot protocol): payload behind `setupSectors` + 1 sectors. */
function bzImage(
  payload: Uint8Array,
  { setupSectors = 3, version = 0x020f, appendSize = false } = {},
): Buffer {
  const start = ((setupSectors || 4) + 1) * 512;
  const setup = Buffer.alloc(start);
  setup[0x1f1] = setupSectors;
  setup.write("HdrS", 0x202);
  setup.writeUInt16LE(version, 0x206);
  const size = Buffer.alloc(appendSize ? 4 : 0, 0x11);
  setup.writeUInt32LE(64, 0x248); // behind 64 bytes of boot code
  setup.writeUInt32LE(payload.length + size.length, 0x24c);
  return Buffer.concat([setup, Buffer.alloc(64), payload, size, Buffer.alloc(100, 0xee)]);
}

function arm64Image(): Buffer {
  const image = Buffer.alloc(4096, 0x1f);
  image.write("ARM\x64", 56, "latin1");
  return image;
}

function lz4Legacy(data: Uint8Array): Buffer {
  const rest = data.length - 15;
  const block = Buffer.concat([
    Buffer.from([0xf0, ...Array<number>(Math.floor(rest / 255)).fill(255), rest % 255]),
    data,
  ]);
  const head = Buffer.from([0x02, 0x21, 0x4c, 0x18, 0, 0, 0, 0]);
  head.writeUInt32LE(block.length, 4);
  return Buffer.concat([head, block]);
}

describe("a kernel file", () => {
  const plain = vmlinux();

  test("that is a vmlinux is taken as it is", async () => {
    const kernel = await extractVmlinux(plain, "/k");
    expect(kernel.arch).toBe("x86_64");
    expect(kernel.bytes).toBe(plain);
  });

  test.each([
    ["gzip", bzImage(gzipSync(plain))],
    ["zstd, with the size that Linux appends", bzImage(zstdCompressSync(plain), { appendSize: true })],
    ["zstd", bzImage(zstdCompressSync(plain))],
    ["LZ4, with the size that Linux appends", bzImage(lz4Legacy(plain), { appendSize: true })],
    ["nothing (uncompressed)", bzImage(plain)],
    ["gzip, and setup sectors 0, which means 4", bzImage(gzipSync(plain), { setupSectors: 0 })],
  ])("that is a bzImage is unpacked: %s", async (_, file) => {
    const kernel = await extractVmlinux(file, "/k");
    expect(plain.equals(kernel.bytes)).toBe(true);
  });

  test.each([
    ["plain", arm64Image()],
    ["gzip (Image.gz)", gzipSync(arm64Image())],
    ["zstd", zstdCompressSync(arm64Image())],
  ])("that is an arm64 Image is unpacked: %s", async (_, file) => {
    const kernel = await extractVmlinux(file, "/k");
    expect(kernel.arch).toBe("aarch64");
    expect(arm64Image().equals(kernel.bytes)).toBe(true);
  });

  test("that is an EFI zboot image is unpacked", async () => {
    const payload = gzipSync(arm64Image());
    const head = Buffer.alloc(64);
    head.write("MZ", 0);
    head.write("zimg", 4);
    head.writeUInt32LE(64, 8);
    head.writeUInt32LE(payload.length, 12);
    const kernel = await extractVmlinux(Buffer.concat([head, payload]), "/k");
    expect(arm64Image().equals(kernel.bytes)).toBe(true);
  });

  test.each([
    ["is not a Linux kernel", Buffer.from("#!/bin/sh\necho no\n")],
    ["is not a Linux kernel", Buffer.alloc(0)],
    ["is a cut-off bzImage", bzImage(gzipSync(plain)).subarray(0, 0x230)],
    ["is a damaged or cut-off bzImage", bzImage(gzipSync(plain)).subarray(0, 2120)],
    ["is a bzImage older than Linux 2.6.24", bzImage(gzipSync(plain), { version: 0x0207 })],
    ["holds damaged gzip data", bzImage(Buffer.concat([gzipSync(plain).subarray(0, 30), Buffer.alloc(50)]))],
    ["is compressed with xz", bzImage(Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00, 1, 2, 3]))],
    ["is compressed in an unknown way", bzImage(Buffer.from("BZh91AY&SY and so on"))],
    ["has no PVH entry point", vmlinux({ type: 17 })],
    ["has no PVH entry point", vmlinux({ owner: "GNU" })],
    ["is an ELF file for a machine that is neither", vmlinux({ machine: 8 })],
    ["is an arm64 vmlinux", vmlinux({ machine: 183 })],
  ])("is refused with a reason: %s", async (what, file) => {
    await expect(extractVmlinux(file, "/the/kernel")).rejects.toMatchObject({
      code: "IMAGE_INVALID",
      message: expect.stringContaining(what),
      hint: expect.stringMatching(/./),
    });
  });

  test("that is damaged anywhere gives a kernel or IMAGE_INVALID, nothing else", async () => {
    const file = bzImage(lz4Legacy(vmlinux({ filler: 100 })));
    await fc.assert(
      fc.asyncProperty(fc.nat(file.length - 1), fc.nat(255), async (at, value) => {
        const damaged = Buffer.from(file);
        damaged[at] = value;
        await extractVmlinux(damaged, "/k").catch((error: unknown) =>
          expect(error).toMatchObject({ code: "IMAGE_INVALID" }),
        );
      }),
    );
  });
});

test("formats are told by magic numbers, and architectures by them", () => {
  expect(detectKernelFormat(vmlinux())).toBe("vmlinux");
  expect(detectKernelFormat(bzImage(Buffer.from("x")))).toBe("bzimage");
  expect(detectKernelFormat(arm64Image())).toBe("arm64-image");
  expect(detectKernelFormat(Buffer.from("nothing"))).toBeUndefined();
  expect(kernelArch(vmlinux())).toBe("x86_64");
  expect(kernelArch(vmlinux({ machine: 183 }))).toBe("aarch64");
  expect(kernelArch(bzImage(Buffer.from("x")))).toBe("x86_64");
  expect(kernelArch(Buffer.from("\x7fELF"))).toBeUndefined();
});
