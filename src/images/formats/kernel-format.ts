import type { Arch } from "../../config/spec.ts";

/**
 * What a kernel file is, by its first bytes.
 * - `vmlinux`: ELF; what QEMU microvm (PVH) and Firecracker boot on x86_64
 * - `bzimage`: x86 boot protocol, with a compressed vmlinux inside (docs.kernel.org/arch/x86/boot.html)
 * - `arm64-image`: docs.kernel.org/arch/arm64/booting.html
 * - `efi-zboot`: an EFI program with a compressed arm64 Image inside (linux: include/linux/efi.h, linux_efi_zboot_header)
 * - `gzip`, `zstd`, `xz`, `lz4`: compressed; what is inside is known after unpacking
 */
export type KernelFormat =
  | "vmlinux"
  | "bzimage"
  | "arm64-image"
  | "efi-zboot"
  | "gzip"
  | "zstd"
  | "xz"
  | "lz4";

/** Bytes that {@link detectKernelFormat} looks at. */
export const KERNEL_HEAD_BYTES = 1024;

const ELF_MAGIC = [0x7f, 0x45, 0x4c, 0x46];
/** "HdrS" at 0x202 of a bzImage */
const BZIMAGE_MAGIC = [0x48, 0x64, 0x72, 0x53];
/** "ARM\x64" at 56 of an arm64 Image */
const ARM64_MAGIC = [0x41, 0x52, 0x4d, 0x64];
/** "MZ", then "zimg" at 4 of an EFI zboot image */
const MZ_MAGIC = [0x4d, 0x5a];
const ZIMG_MAGIC = [0x7a, 0x69, 0x6d, 0x67];

/** The format of a kernel file from its first {@link KERNEL_HEAD_BYTES}, or undefined if it is none that is known. Pure. */
export function detectKernelFormat(head: Uint8Array): KernelFormat | undefined {
  const has = (at: number, magic: readonly number[]): boolean =>
    magic.every((byte, i) => head[at + i] === byte);
  if (has(0, ELF_MAGIC)) return "vmlinux";
  if (has(0x202, BZIMAGE_MAGIC)) return "bzimage";
  if (has(56, ARM64_MAGIC)) return "arm64-image";
  if (has(0, MZ_MAGIC) && has(4, ZIMG_MAGIC)) return "efi-zboot";
  return detectCompression(head);
}

/** The compression of some bytes by their magic, or undefined. Pure. */
export function detectCompression(head: Uint8Array): "gzip" | "zstd" | "xz" | "lz4" | undefined {
  const has = (magic: readonly number[]): boolean => magic.every((byte, i) => head[i] === byte);
  if (has([0x1f, 0x8b])) return "gzip";
  if (has([0x28, 0xb5, 0x2f, 0xfd])) return "zstd";
  if (has([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00])) return "xz";
  if (has([0x02, 0x21, 0x4c, 0x18])) return "lz4";
  return undefined;
}

/** ELF machine numbers (e_machine). */
const ELF_MACHINES: Readonly<Record<number, Arch>> = { 62: "x86_64", 183: "aarch64" };

/** The architecture that an unpacked kernel (vmlinux or arm64 Image) is for, or undefined. Pure. */
export function kernelArch(head: Uint8Array): Arch | undefined {
  const format = detectKernelFormat(head);
  if (format === "arm64-image") return "aarch64";
  if (format === "bzimage") return "x86_64";
  if (format !== "vmlinux" || head.length < 20) return undefined;
  return ELF_MACHINES[head[18]! | (head[19]! << 8)];
}
