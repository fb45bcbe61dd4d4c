import { promisify } from "node:util";
import { gunzip, zstdDecompress } from "node:zlib";
import type { Arch } from "../../config/spec.ts";
import { SmolVMError } from "../../errors.ts";
import { hasElfNote } from "../formats/elf.ts";
import { detectCompression, detectKernelFormat, kernelArch } from "../formats/kernel-format.ts";
import { decodeLz4Legacy } from "../formats/lz4.ts";

/** No kernel is larger than that; a damaged one could claim to be. */
const KERNEL_MAX_BYTES = 512 * 1024 * 1024;
/** XEN_ELFNOTE_PHYS32_ENTRY, the PVH entry point (xen: public/elfnote.h). */
const PVH_NOTE = 18;

/** A kernel in the form that is booted: an ELF vmlinux (x86_64) or an arm64 Image. */
export interface BootableKernel {
  readonly arch: Arch;
  readonly bytes: Uint8Array;
}

/**
 * Turns any kernel file that is known (see kernel-format.ts) into the form that is booted.
 * @param file the whole kernel file
 * @param name its path, for errors
 * @throws SmolVMError IMAGE_INVALID: unknown, damaged, compressed in an unsupported way, or (x86_64) without a PVH entry
 */
export async function extractVmlinux(file: Uint8Array, name: string): Promise<BootableKernel> {
  const bytes = await unpack(file, name, 0);
  const arch = kernelArch(bytes);
  if (arch === undefined) {
    throw invalid(name, "is an ELF file for a machine that is neither x86_64 nor aarch64");
  }
  if (arch === "aarch64" && detectKernelFormat(bytes) === "vmlinux") {
    throw invalid(
      name,
      "is an arm64 vmlinux",
      "arm64 machines boot the file arch/arm64/boot/Image of the same build.",
    );
  }
  if (arch === "x86_64" && !hasElfNote(bytes, "Xen", PVH_NOTE)) {
    throw invalid(name, "has no PVH entry point", "Use a kernel that was built with CONFIG_PVH=y.");
  }
  return { arch, bytes };
}

async function unpack(file: Uint8Array, name: string, depth: number): Promise<Uint8Array> {
  const format = detectKernelFormat(file.subarray(0, 1024));
  // A compressed kernel holds a plain one, or a bzImage that does: more layers are an attack or a mistake.
  if (format === undefined || depth > 2) throw invalid(name, "is not a Linux kernel");
  switch (format) {
    case "vmlinux":
    case "arm64-image":
      return file;
    case "bzimage":
      return unpack(await decompress(bzImagePayload(file, name), name), name, depth + 1);
    case "efi-zboot":
      return unpack(await decompress(zbootPayload(file, name), name), name, depth + 1);
    default:
      return unpack(await decompress(file, name), name, depth + 1);
  }
}

/**
 * The compressed vmlinux inside a bzImage. The protected-mode part starts after the setup sectors, and the header says
 * where in it the payload lies (docs.kernel.org/arch/x86/boot.html: setup_sects, payload_offset, payload_length).
 */
function bzImagePayload(file: Uint8Array, name: string): Uint8Array {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  if (file.length < 0x250) throw invalid(name, "is a cut-off bzImage");
  if (view.getUint16(0x206, true) < 0x0208) throw invalid(name, "is a bzImage older than Linux 2.6.24");
  const setupSectors = file[0x1f1]! || 4; // 0 means 4
  const start = (setupSectors + 1) * 512 + view.getUint32(0x248, true);
  const end = start + view.getUint32(0x24c, true);
  if (end > file.length || start === end) throw invalid(name, "is a damaged or cut-off bzImage");
  return file.subarray(start, end);
}

/** linux_efi_zboot_header: payload offset at 8, size at 12. */
function zbootPayload(file: Uint8Array, name: string): Uint8Array {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  if (file.length < 64) throw invalid(name, "is a cut-off EFI kernel");
  const start = view.getUint32(8, true);
  const end = start + view.getUint32(12, true);
  if (end > file.length || start === end) throw invalid(name, "is a damaged or cut-off EFI kernel");
  return file.subarray(start, end);
}

async function decompress(payload: Uint8Array, name: string): Promise<Uint8Array> {
  const compression = detectCompression(payload);
  try {
    switch (compression) {
      case "lz4":
        return decodeLz4Legacy(payload, KERNEL_MAX_BYTES);
      case "gzip":
        return await promisify<Uint8Array, object, Uint8Array>(gunzip)(payload, {
          maxOutputLength: KERNEL_MAX_BYTES,
        });
      case "zstd":
        // Linux appends the decoded size (4 bytes) to the frame.
        return await promisify<Uint8Array, object, Uint8Array>(zstdDecompress)(
          payload.subarray(0, zstdEnd(payload)),
          { maxOutputLength: KERNEL_MAX_BYTES },
        );
      default:
        break;
    }
  } catch (error) {
    if (error instanceof SmolVMError) throw error;
    throw invalid(name, `holds damaged ${compression} data (${(error as Error).message})`);
  }
  if (compression === "xz") {
    throw invalid(
      name,
      "is compressed with xz, which cannot be unpacked here",
      "Unpack it with the kernel's scripts/extract-vmlinux (needs the program xz) and give the vmlinux that it prints.",
    );
  }
  // An uncompressed payload (CONFIG_KERNEL_UNCOMPRESSED) is the vmlinux itself.
  if (detectKernelFormat(payload) === "vmlinux") return payload;
  throw invalid(name, "is compressed in an unknown way", "Give the uncompressed vmlinux of the same build.");
}

/** Where the zstd frame ends: before Linux's four bytes of size, if they are there. */
function zstdEnd(payload: Uint8Array): number {
  let at = 4;
  const descriptor = payload[at++] ?? 0;
  const singleSegment = (descriptor >> 5) & 1;
  const contentSizeBytes = [singleSegment, 2, 4, 8][descriptor >> 6]!;
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3]!;
  at += (singleSegment ? 0 : 1) + dictionaryBytes + contentSizeBytes;
  // Blocks: 3 bytes of header each (last:1, type:2, size:21); RLE blocks (type 1) hold one byte.
  // https://datatracker.ietf.org/doc/html/rfc8878#section-3.1.1
  for (;;) {
    if (at + 3 > payload.length) return payload.length; // cut off: the decoder says so
    const header = payload[at]! | (payload[at + 1]! << 8) | (payload[at + 2]! << 16);
    at += 3 + (((header >> 1) & 3) === 1 ? 1 : header >> 3);
    if (header & 1) break;
  }
  const checksumBytes = descriptor & 4 ? 4 : 0;
  return Math.min(at + checksumBytes, payload.length);
}

function invalid(name: string, what: string, hint?: string): SmolVMError {
  return new SmolVMError("IMAGE_INVALID", `the kernel '${name}' ${what}`, {
    hint: hint ?? "Give an uncompressed vmlinux, a bzImage (vmlinuz), or an arm64 Image.",
    details: { kernelPath: name },
  });
}
