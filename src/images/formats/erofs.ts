/**
 * Pieces of EROFS, a read-only file system (https://docs.kernel.org/filesystems/erofs.html, fs/erofs/erofs_fs.h), uncompressed. Pure:
 * the same content is the same bytes on every machine and with every version of Node, which no compressor promises.
 *
 *   block 0             1,024 bytes of nothing, the superblock
 *   content             each file's from a block of its own on
 *   metadata            inodes in slots of 32 bytes; behind each its attributes, then its content where that is little
 *
 * Names are bytes, each as one character.
 */

export const EROFS_BLOCK = 4096;
/** Inodes are numbered by slots of so many bytes. */
export const EROFS_SLOT = 32;
export const EROFS_SUPERBLOCK_AT = 1024;
/** An inode of the larger kind: 32-bit owners, times in nanoseconds. */
export const EROFS_INODE_BYTES = 64;

const MAGIC = 0xe0f5e1e2;
const BLOCK_BITS = 12;
const DIRENT_BYTES = 12;
/** i_format: bit 0 the larger kind, then where the content is */
const EXTENDED = 1;
const FLAT_PLAIN = 0 << 1;
const FLAT_INLINE = 2 << 1;
const XATTR_HEADER_BYTES = 12;

export type ErofsKind = "file" | "directory" | "character" | "block" | "pipe" | "symlink";

/** linux/stat.h, S_IFMT */
const MODE: Readonly<Record<ErofsKind, number>> = {
  file: 0o100000,
  directory: 0o040000,
  character: 0o020000,
  block: 0o060000,
  pipe: 0o010000,
  symlink: 0o120000,
};
/** linux/fs_types.h, FT_* */
const FILE_TYPE: Readonly<Record<ErofsKind, number>> = {
  file: 1,
  directory: 2,
  character: 3,
  block: 4,
  pipe: 5,
  symlink: 7,
};

export interface ErofsSuperblock {
  /** slot of the root's inode, below 65,536 */
  readonly root: number;
  readonly inodes: number;
  /** of the whole file */
  readonly blocks: number;
  /** where the slots begin, in blocks */
  readonly metadataBlock: number;
  /** 16 bytes */
  readonly uuid: Uint8Array;
}

/** The superblock. Pure. */
export function erofsSuperblock({ root, inodes, blocks, metadataBlock, uuid }: ErofsSuperblock): Uint8Array {
  const block = Buffer.alloc(128);
  block.writeUInt32LE(MAGIC, 0);
  block[12] = BLOCK_BITS;
  block.writeUInt16LE(root, 14);
  block.writeBigUInt64LE(BigInt(inodes), 16);
  block.writeUInt32LE(blocks, 36);
  block.writeUInt32LE(metadataBlock, 40);
  block.set(uuid, 48);
  return block;
}

export interface ErofsInode {
  readonly kind: ErofsKind;
  /** permission bits */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeS: number;
  readonly mtimeNs: number;
  readonly links: number;
  /** bytes of content */
  readonly size: number;
  /** a number that is this inode's alone */
  readonly number: number;
  /** where its content begins, in blocks; of a device its number */
  readonly at: number;
  /** what does not fill a block is behind the inode */
  readonly inline: boolean;
  /** of {@link erofsAttributes} */
  readonly attributeBytes: number;
}

/** An inode. Pure. */
export function erofsInode(inode: ErofsInode): Uint8Array {
  const bytes = Buffer.alloc(EROFS_INODE_BYTES);
  bytes.writeUInt16LE(EXTENDED | (inode.inline ? FLAT_INLINE : FLAT_PLAIN), 0);
  const { attributeBytes } = inode;
  bytes.writeUInt16LE(attributeBytes === 0 ? 0 : (attributeBytes - XATTR_HEADER_BYTES) / 4 + 1, 2);
  bytes.writeUInt16LE(MODE[inode.kind] | inode.mode, 4);
  bytes.writeBigUInt64LE(BigInt(inode.size), 8);
  bytes.writeUInt32LE(inode.at, 16);
  bytes.writeUInt32LE(inode.number, 20);
  bytes.writeUInt32LE(inode.uid, 24);
  bytes.writeUInt32LE(inode.gid, 28);
  bytes.writeBigUInt64LE(BigInt(inode.mtimeS), 32);
  bytes.writeUInt32LE(inode.mtimeNs, 40);
  bytes.writeUInt32LE(inode.links, 44);
  return bytes;
}

/** What a device's number is in an inode (linux/kdev_t.h, new_encode_dev). Pure. */
export function erofsDevice(major: number, minor: number): number {
  return ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0;
}

/** An attribute: the number of its name's beginning, and the rest of the name. */
export interface ErofsAttribute {
  readonly prefix: number;
  readonly name: string;
  readonly value: Uint8Array;
}

/** What is behind an inode with these attributes: nothing if there are none. Pure. */
export function erofsAttributes(attributes: readonly ErofsAttribute[]): Uint8Array {
  if (attributes.length === 0) return new Uint8Array(0);
  const parts: Uint8Array[] = [Buffer.alloc(XATTR_HEADER_BYTES)];
  for (const { prefix, name, value } of attributes) {
    const size = 4 + name.length + value.length;
    const bytes = Buffer.alloc((size + 3) & ~3);
    bytes[0] = name.length;
    bytes[1] = prefix;
    bytes.writeUInt16LE(value.length, 2);
    bytes.write(name, 4, "latin1");
    bytes.set(value, 4 + name.length);
    parts.push(bytes);
  }
  return Buffer.concat(parts);
}

export interface ErofsDirent {
  readonly name: string;
  /** slot of its inode */
  readonly slot: number;
  readonly kind: ErofsKind;
}

/** How many of the names, from `first` on, go into one block of a directory, and how many bytes that takes. */
function fill(names: readonly { readonly name: string }[], first: number): { count: number; bytes: number } {
  let bytes = 0;
  let count = 0;
  for (let at = first; at < names.length; at++) {
    const more = DIRENT_BYTES + names[at]!.name.length;
    if (bytes + more > EROFS_BLOCK) break;
    bytes += more;
    count++;
  }
  return { count, bytes };
}

/** The size of a directory of these names, "." and ".." among them. Pure. */
export function erofsDirectorySize(names: readonly { readonly name: string }[]): number {
  let size = 0;
  for (let first = 0; first < names.length; ) {
    const { count, bytes } = fill(names, first);
    first += count;
    size += first < names.length ? EROFS_BLOCK : bytes;
  }
  return size;
}

/** A directory's content. Pure. @param entries sorted by the bytes of their names, "." and ".." among them */
export function erofsDirectory(entries: readonly ErofsDirent[]): Uint8Array {
  const content = Buffer.alloc(erofsDirectorySize(entries));
  for (let first = 0, block = 0; first < entries.length; block += EROFS_BLOCK) {
    const { count } = fill(entries, first);
    let nameAt = count * DIRENT_BYTES;
    for (let index = 0; index < count; index++) {
      const { name, slot, kind } = entries[first + index]!;
      const at = block + index * DIRENT_BYTES;
      content.writeBigUInt64LE(BigInt(slot), at);
      content.writeUInt16LE(nameAt, at + 8);
      content[at + 10] = FILE_TYPE[kind];
      content.write(name, block + nameAt, "latin1");
      nameAt += name.length;
    }
    first += count;
  }
  return content;
}
