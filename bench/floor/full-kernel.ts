import { existsSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { nativeDir } from "../../src/host/package.ts";
import { runProgram } from "../../src/host/process/run.ts";
import { Apt } from "../../src/images/debian/apt.ts";
import { hostMirror } from "../../src/images/debian/mirror.ts";
import { writeCpio } from "../../src/images/formats/cpio.ts";
import { initramfsEntries } from "../../src/images/kernel/initramfs.ts";
import { Deadline } from "../../src/util/deadline.ts";
import { labCacheDir, unpackFullKernel } from "../../tests/lab/parts.ts";

/** What a sandbox on the machine q35 needs, and 9p. */
const MODULES = [
  ...["crc32c_generic", "virtio_pci", "virtio_console", "virtio_blk", "squashfs", "erofs", "ext4", "overlay"],
  ...["fuse", "9pnet_virtio", "9p"],
];

/** Raised when what is kept changes. */
const LAYOUT_VERSION = 1;

/**
 * Debian's full kernel, which has 9p, for sandboxes on q35: the kernel of images is the cloud's, which has not. Fetched with apt when first
 * asked for.
 * @param directory where the initramfs is written: our agent, and the modules
 */
export async function fullKernel(directory: string): Promise<{ kernelPath: string; initrdPath: string }> {
  const kept = join(labCacheDir(), `bench-kernel-${LAYOUT_VERSION}`);
  if (!existsSync(kept)) await fetchKernel(kept);
  const order = readFileSync(join(kept, "modules", "order"), "utf8")
    .trim()
    .split("\n");
  const modules = order.map((file) => ({
    name: file.replace(/\.ko$/, ""),
    data: readFileSync(join(kept, "modules", file)),
  }));
  const initrdPath = join(directory, "initramfs.cpio");
  const agent = readFileSync(join(nativeDir(), "agent-x86_64"));
  await writeFile(initrdPath, writeCpio(initramfsEntries(agent, modules)));
  return { kernelPath: join(kept, "vmlinux"), initrdPath };
}

async function fetchKernel(target: string): Promise<void> {
  const deadline = Deadline.of("fetching Debian's full kernel", { timeoutMs: 600_000 });
  await mkdir(labCacheDir(), { recursive: true, mode: 0o700 });
  const work = await mkdtemp(join(labCacheDir(), "fetch-"));
  try {
    const mirror = await hostMirror(deadline);
    const apt = await Apt.open(join(work, "apt"), { arch: "x86_64", mirror, deadline });
    await unpackFullKernel(apt, work, join(work, "made"), MODULES);
    const { stdoutBytes } = await runProgram(["xz", "-dc", "--single-stream"], {
      deadline,
      stdin: packed(readFileSync(join(work, "made", "vmlinuz"))),
      maxOutputBytes: 2 ** 28,
      installHint: "apt-get install xz-utils",
    });
    await writeFile(join(work, "made", "vmlinux"), stdoutBytes);
    await rename(join(work, "made"), target);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** What Debian packs with xz, which Node cannot unpack: from its magic number on. */
function packed(vmlinuz: Buffer): Buffer {
  return vmlinuz.subarray(vmlinuz.indexOf(Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00])));
}
