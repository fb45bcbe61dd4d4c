import { createHash, randomBytes } from "node:crypto";
import { mkdir, open, readFile, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Arch } from "../../config/spec.ts";
import { SmolVMError } from "../../errors.ts";
import { rename, rm } from "../../util/files-go.ts";
import { detectCompression } from "../formats/kernel-format.ts";
import { readHead } from "../formats/read-head.ts";
import { detectRootfs, ROOTFS_HEAD_BYTES, type RootfsInfo } from "../formats/rootfs-format.ts";
import { extractVmlinux } from "../kernel/vmlinux.ts";
import { type ImageDirs, imageLayout } from "../store/layout.ts";

/** No kernel file is larger; anything else would be read into memory. */
const KERNEL_FILE_MAX_BYTES = 1024 * 1024 * 1024;

/**
 * Makes a user's own kernel ready: one that can be booted as it is stays where it is, others (bzImage, compressed) are
 * unpacked into the cache once.
 * @returns the path to boot, and the sha256 (hex) of that file
 * @throws SmolVMError FILE_NOT_FOUND, FILE_TYPE, FILE_PERMISSION, IMAGE_INVALID (unknown, damaged, or for another architecture)
 */
export async function prepareUserKernel(
  dirs: ImageDirs,
  path: string,
  arch: Arch,
): Promise<{ readonly path: string; readonly sha256: string }> {
  const { size } = await requireFile("kernelPath", path);
  if (size > KERNEL_FILE_MAX_BYTES) {
    throw new SmolVMError("IMAGE_INVALID", `'${path}' is too large to be a kernel`, {
      details: { kernelPath: path },
    });
  }
  const file = await readFile(path);
  const kernel = await extractVmlinux(file, path);
  if (kernel.arch !== arch) {
    throw new SmolVMError(
      "IMAGE_INVALID",
      `the kernel '${path}' is for ${kernel.arch}, and the sandbox is ${arch}`,
      {
        hint: `Give a kernel for ${arch}, or set arch to ${kernel.arch}.`,
        details: { kernelPath: path, kernelArch: kernel.arch, arch },
      },
    );
  }
  const sha256 = createHash("sha256").update(kernel.bytes).digest("hex");
  if (kernel.bytes === file) return { path, sha256 };
  const target = join(imageLayout(dirs).extractedKernels, sha256);
  if (await exists(target)) return { path: target, sha256 };
  await mkdir(dirname(target), { recursive: true, mode: 0o700 });
  const temporary = `${target}.${process.pid}.${randomBytes(4).toString("hex")}.tmp`;
  try {
    await writeFile(temporary, kernel.bytes, { mode: 0o600 });
    await rename(temporary, target);
  } finally {
    await rm(temporary, { force: true });
  }
  return { path: target, sha256 };
}

/**
 * Checks a user's own initramfs: a cpio archive, compressed or not.
 * @throws SmolVMError FILE_NOT_FOUND, FILE_TYPE, FILE_PERMISSION, IMAGE_INVALID
 */
export async function checkUserInitrd(path: string): Promise<void> {
  const head = await requiredHead("initrdPath", path, 8);
  const text = Buffer.from(head).toString("latin1");
  const isCpio = text.startsWith("070701") || text.startsWith("070702");
  const isBzip2 = text.startsWith("BZh");
  if (isCpio || isBzip2 || detectCompression(head) !== undefined) return;
  throw new SmolVMError("IMAGE_INVALID", `the initramfs '${path}' is not a cpio archive`, {
    hint: "Make one: find . | cpio -o -H newc > initramfs.cpio. Without initrdPath smolvm uses its own.",
    details: { initrdPath: path },
  });
}

/**
 * Looks what file system a user's own root is.
 * @param readOnly it will be used read-only: then an ext4 must have been unmounted cleanly
 * @throws SmolVMError FILE_NOT_FOUND, FILE_TYPE, FILE_PERMISSION, IMAGE_INVALID
 */
export async function checkUserRootfs(
  path: string,
  { readOnly }: { readOnly: boolean },
): Promise<RootfsInfo> {
  const info = detectRootfs(await requiredHead("rootfsPath", path, ROOTFS_HEAD_BYTES), path);
  if (readOnly && info.needsRecovery) {
    throw new SmolVMError("IMAGE_INVALID", `the root file system '${path}' was not unmounted cleanly`, {
      hint: `It is used read-only and cannot be repaired there. Repair it: e2fsck -fy '${path}'`,
      details: { rootfsPath: path },
    });
  }
  return info;
}

async function requiredHead(option: string, path: string, bytes: number): Promise<Uint8Array> {
  await requireFile(option, path);
  return readHead(path, bytes);
}

/** A readable regular file, or an error that names the option. */
async function requireFile(option: string, path: string): Promise<{ size: number }> {
  const details = { option, path };
  try {
    const file = await open(path, "r");
    await file.close();
  } catch (error) {
    const errno = (error as NodeJS.ErrnoException).code;
    if (errno === "ENOENT" || errno === "ENOTDIR") {
      throw new SmolVMError("FILE_NOT_FOUND", `${option}: there is no file '${path}'`, {
        details,
        cause: error,
      });
    }
    throw new SmolVMError(
      "FILE_PERMISSION",
      `${option}: '${path}' cannot be read: ${(error as Error).message}`,
      {
        hint: `Allow it: chmod +r '${path}'`,
        details,
        cause: error,
      },
    );
  }
  const stats = await stat(path);
  if (!stats.isFile()) {
    throw new SmolVMError("FILE_TYPE", `${option}: '${path}' is not a file`, { details });
  }
  return { size: stats.size };
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
