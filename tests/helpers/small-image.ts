import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { zstdCompressSync } from "node:zlib";
import type { Arch } from "../../src/config/spec.ts";
import { writeAndroidSparse } from "../../src/images/formats/android-sparse.ts";
import { kernelLayout } from "../../src/images/store/kernel-layout.ts";
import type { KernelManifest } from "../../src/images/store/kernel-manifest.ts";
import { addKernel, type BuiltKernel, kernelName } from "../../src/images/store/kernel-store.ts";
import { imageLayout } from "../../src/images/store/layout.ts";
import { describeFiles } from "../../src/images/store/manifest.ts";
import { addImage, type StoredImage } from "../../src/images/store/store.ts";

const MIB = 2 ** 20;

/** The start of an ELF file for an architecture, then any text: it passes for a kernel or an agent, and does not run. */
export function elf(text: string, arch: Arch = "x86_64"): Buffer {
  const head = Buffer.alloc(64);
  head.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  head.writeUInt16LE(arch === "x86_64" ? 62 : 183, 18);
  return Buffer.concat([head, Buffer.from(text)]);
}

/** Puts an image of a few KiB into a store: of the right formats, but nothing that boots. */
export function addSmallImage(cacheDir: string, name: string, content = "root"): Promise<StoredImage> {
  const dir = join(imageLayout({ cacheDir }).work, Math.random().toString(36).slice(2));
  const write = (file: string, data: Uint8Array): void => {
    mkdirSync(dirname(join(dir, file)), { recursive: true });
    writeFileSync(join(dir, file), data);
  };
  write("rootfs.squashfs", Buffer.from(`hsqs${content.padEnd(2048)}`));
  write("vmlinux", elf("Debian's kernel"));
  write("seeds/64.simg.zst", zstdCompressSync(writeAndroidSparse(64 * MIB, [], 4096)));
  write("modules/virtio.ko", Buffer.from("module"));
  return addImage({ cacheDir }, dir, {
    name,
    arch: "x86_64",
    recipe: "test",
    rootfs: { file: "rootfs.squashfs", format: "squashfs" },
    kernel: { file: "vmlinux", version: "6.1", packageName: "linux-image-6.1", packageVersion: "6.1.192-2" },
    seeds: { directory: "seeds", files: ["seeds/64.simg.zst"] },
    modules: [{ name: "virtio", file: "modules/virtio.ko", depends: [] }],
    packages: [
      { name: "libc6", version: "2.36-9+b1", source: { name: "glibc", version: "2.36-9" } },
      { name: "bash", version: "5.2.15-2+b13" },
    ],
  });
}

/** Puts a kernel of a few bytes into a store. */
export async function addSmallKernel(cacheDir: string, content = "kernel"): Promise<BuiltKernel> {
  const dir = join(kernelLayout({ cacheDir }).work, Math.random().toString(36).slice(2));
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, "vmlinux"), elf(content));
  writeFileSync(join(dir, "config"), "CONFIG_NET=y\n");
  const manifest = await smallKernelManifest(dir);
  return addKernel({ cacheDir }, dir, kernelName(manifest), manifest);
}

/** A manifest for the `vmlinux` and `config` in a directory, whatever they are. */
export async function smallKernelManifest(dir: string, arch: Arch = "x86_64"): Promise<KernelManifest> {
  return {
    version: 1,
    arch,
    kernelVersion: "6.1.192-smolvm",
    recipe: "ab",
    source: {
      package: "linux-source-6.1",
      version: "6.1.192-2",
      sha256: "cd",
      pinned: true,
      license: "GPL-2.0-only",
    },
    patches: [],
    compiler: "gcc",
    file: "vmlinux",
    files: await describeFiles(dir, ["vmlinux", "config"]),
    createdAt: new Date(0).toISOString(),
  };
}
