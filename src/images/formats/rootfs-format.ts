import { SmolVMError } from "../../errors.ts";
import { DISK_CONTAINERS, type DiskContainer } from "./disk-container.ts";

/** File systems that a base may have. */
export type RootfsFormat = "squashfs" | "erofs" | "ext4";

/** Bytes that {@link detectRootfs} looks at: ext4's superblock ends there. */
export const ROOTFS_HEAD_BYTES = 2048;

/** What a root file system's first bytes tell. */
export interface RootfsInfo {
  readonly format: RootfsFormat;
  /** ext4 that was not unmounted: its journal must be replayed, which a read-only disk does not allow */
  readonly needsRecovery: boolean;
}

/** Formats that are no bare file system, by their magic, and what to do with them. */
const CONTAINERS: readonly DiskContainer[] = [
  ...DISK_CONTAINERS,
  { at: 0, magic: [0x1f, 0x8b], name: "compressed with gzip", hint: "Unpack it: gunzip FILE" },
  { at: 0, magic: [0x28, 0xb5, 0x2f, 0xfd], name: "compressed with zstd", hint: "Unpack it: unzstd FILE" },
  { at: 0, magic: [0xfd, 0x37, 0x7a, 0x58], name: "compressed with xz", hint: "Unpack it: unxz FILE" },
  {
    at: 257,
    magic: [0x75, 0x73, 0x74, 0x61, 0x72],
    name: "a tar archive",
    hint: "Pack it: tar2sqfs rootfs.squashfs < ARCHIVE",
  },
  {
    at: 510,
    magic: [0x55, 0xaa],
    name: "a disk with a partition table",
    hint: "Copy the partition with the root file system into a file of its own.",
  },
];

/**
 * The file system that a file holds, by the magic numbers of linux/magic.h at their superblocks' places. Pure.
 * @param head its first {@link ROOTFS_HEAD_BYTES}, or all of a shorter file
 * @param path for errors
 * @throws SmolVMError IMAGE_INVALID
 */
export function detectRootfs(head: Uint8Array, path: string): RootfsInfo {
  const found = rootfsIn(head);
  if (found !== undefined) return found;
  const container = CONTAINERS.find(({ at, magic }) => magic.every((byte, i) => head[at + i] === byte));
  throw new SmolVMError(
    "IMAGE_INVALID",
    `the root file system '${path}' is ${container?.name ?? "neither squashfs, erofs nor ext4"}`,
    {
      hint:
        container?.hint.replaceAll("IMAGE", `'${path}'`) ??
        "Give an image of a squashfs, erofs or ext4 file system, without a partition table.",
      details: { rootfsPath: path },
    },
  );
}

/** {@link detectRootfs}; undefined: none of them. Pure. */
export function rootfsIn(head: Uint8Array): RootfsInfo | undefined {
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  const u32 = (at: number): number => (at + 4 <= head.length ? view.getUint32(at, true) : 0);
  const u16 = (at: number): number => (at + 2 <= head.length ? view.getUint16(at, true) : 0);
  if (u32(0) === 0x73717368) return { format: "squashfs", needsRecovery: false };
  if (u32(1024) === 0xe0f5e1e2) return { format: "erofs", needsRecovery: false };
  // s_magic at 0x38 and s_feature_incompat at 0x60 (docs.kernel.org/filesystems/ext4/super.html); 0x4 is INCOMPAT_RECOVER
  if (u16(1024 + 0x38) === 0xef53) {
    return { format: "ext4", needsRecovery: (u32(1024 + 0x60) & 0x4) !== 0 };
  }
  return undefined;
}
