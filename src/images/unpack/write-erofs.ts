import { open } from "node:fs/promises";
import {
  EROFS_BLOCK,
  EROFS_INODE_BYTES,
  EROFS_SLOT,
  EROFS_SUPERBLOCK_AT,
  type ErofsAttribute,
  erofsAttributes,
  erofsDevice,
  erofsDirectory,
  erofsDirectorySize,
  erofsInode,
  erofsSuperblock,
} from "../formats/erofs.ts";
import { ATTRIBUTE_PREFIXES } from "./attributes.ts";
import { BlockFile } from "./block-file.ts";
import type { Inode, Node, Tree } from "./tree.ts";
import { BaseUnfit, type ContentStep } from "./unpacked-base.ts";

/** Content up to this size lies behind its inode, so that it takes no block of its own ... */
const INLINE_BYTES = 2048;
/** ... as long as all of it together, which is held in memory until the inodes are written, is not more than this. */
const INLINE_TOTAL_BYTES = 64 * 1024 * 1024;

/** An inode on its way into the image. */
interface Slot {
  readonly inode: Inode;
  /** of a directory */
  readonly node: Node | undefined;
  readonly parent: Slot | undefined;
  links: number;
  /** its number: where it is, in slots */
  number: number;
  size: number;
  /** first block of its content */
  block: number;
  /** content that lies behind it: of a file or symlink */
  small: Buffer | undefined;
  /** of a directory: how many bytes lie behind it */
  inlineBytes: number;
}

/**
 * Writes a tree as a read-only file system: EROFS, uncompressed. The same tree and layers make the same bytes.
 * @param path a file that is made, or replaced
 * @param layer gives what is in a layer of the tree, from its beginning on
 * @param uuid 16 bytes: what tells this file system from others
 * @param overBase the first layer is an {@link UnpackedBase}
 * @throws what `layer` throws; BaseUnfit
 */
export async function writeErofs(
  path: string,
  tree: Tree,
  {
    layers,
    layer,
    uuid,
    overBase = false,
  }: {
    layers: number;
    layer: (index: number) => AsyncIterable<ContentStep>;
    uuid: Uint8Array;
    overBase?: boolean;
  },
): Promise<void> {
  const slots = collect(tree.root);
  const file = await open(path, "w", 0o600);
  try {
    const out = new BlockFile(file);
    await out.fillTo(EROFS_BLOCK); // the superblock's
    const contents = contentsOf(slots, layers);
    const inlineBytes = inlineLimit(slots);
    if (overBase && inlineBytes === 0) throw new BaseUnfit("little files have no order in it");
    for (let index = 0; index < layers; index++) {
      if (contents[index]!.size > 0) await writeContents(out, layer(index), contents[index]!, inlineBytes);
    }
    await out.nextBlock();
    const metadataBlock = place(slots, out.position / EROFS_BLOCK);
    const numbers = new Map(slots.map((slot) => [slot.inode, slot.number]));
    for (const slot of slots) await writeOutside(out, slot, numbers);
    await out.nextBlock();
    await writeMetadata(out, slots, metadataBlock, numbers);
    const blocks = await out.nextBlock();
    await out.end();
    const superblock = erofsSuperblock({
      root: slots[0]!.number,
      inodes: slots.length,
      blocks,
      metadataBlock,
      uuid,
    });
    await file.write(superblock, 0, superblock.length, EROFS_SUPERBLOCK_AT);
  } finally {
    await file.close();
  }
}

/** All inodes, each directory before what is in it, in the order of their names' bytes. */
function collect(root: Node): Slot[] {
  const slots: Slot[] = [];
  const known = new Map<Inode, Slot>();
  const visit = (node: Node, parent: Slot | undefined): void => {
    const { inode, children } = node;
    const before = children === undefined ? known.get(inode) : undefined;
    if (before !== undefined) {
      before.links++;
      return;
    }
    const slot: Slot = {
      inode,
      node: children === undefined ? undefined : node,
      parent,
      links: 1,
      number: 0,
      size: inode.size,
      block: 0,
      small: undefined,
      inlineBytes: 0,
    };
    slots.push(slot);
    known.set(inode, slot);
    if (children === undefined) {
      if (inode.kind === "symlink") slot.small = Buffer.from(inode.target, "latin1");
      slot.size = slot.small?.length ?? slot.size;
      return;
    }
    slot.links = 2;
    for (const name of sorted(node)) {
      const child = children.get(name)!;
      if (child.children !== undefined) slot.links++;
      visit(child, slot);
    }
  };
  visit(root, undefined);
  return slots;
}

function sorted(node: Node): string[] {
  return [...node.children!.keys()].sort(byBytes);
}

function byBytes(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** For each layer, which of its entries' contents are in the tree. */
function contentsOf(slots: readonly Slot[], layers: number): Map<number, Slot>[] {
  const contents = Array.from({ length: layers }, () => new Map<number, Slot>());
  for (const slot of slots) {
    const { inode } = slot;
    if (inode.kind === "file" && inode.size > 0) contents[inode.layer]!.set(inode.ordinal, slot);
  }
  return contents;
}

/** Up to which size content is to lie behind its inode. */
function inlineLimit(slots: readonly Slot[]): number {
  let total = 0;
  for (const { size } of slots) if (size <= INLINE_BYTES) total += size;
  return total <= INLINE_TOTAL_BYTES ? INLINE_BYTES : 0;
}

/** @param inlineBytes content up to that size is kept, for {@link writeMetadata} */
async function writeContents(
  out: BlockFile,
  steps: AsyncIterable<ContentStep>,
  wanted: Map<number, Slot>,
  inlineBytes: number,
): Promise<void> {
  let ordinal = 0;
  let slot: Slot | undefined;
  let pieces: Buffer[] | undefined;
  for await (const step of steps) {
    if (step.step === "entry") {
      slot = wanted.get(ordinal++);
      if (slot === undefined) continue;
      pieces = slot.size <= inlineBytes ? [] : undefined;
      if (pieces === undefined) slot.block = await out.nextBlock();
    } else if (slot === undefined) continue;
    else if (step.step === "end") {
      if (pieces !== undefined) slot.small = Buffer.concat(pieces);
      slot = undefined;
    } else if (pieces !== undefined) pieces.push(Buffer.from(step.data));
    else await out.write(step.data);
  }
}

/**
 * Gives each inode its number, and content that is not behind an inode its blocks, from `block` on.
 * @returns the block at which the inodes begin
 */
function place(slots: readonly Slot[], block: number): number {
  // Number 0 would be no file to a C library's readdir.
  let at = EROFS_INODE_BYTES;
  let next = block;
  for (const slot of slots) {
    if (slot.node !== undefined) slot.size = erofsDirectorySize(names(slot).map((name) => ({ name })));
    const head = EROFS_INODE_BYTES + attributesOf(slot).length;
    const tail = slot.node !== undefined ? slot.size % EROFS_BLOCK : (slot.small?.length ?? 0);
    const fits = tail > 0 && head + tail <= EROFS_BLOCK;
    slot.inlineBytes = fits ? tail : 0;
    if (slot.node !== undefined || (slot.small !== undefined && !fits)) {
      const outside = Math.ceil((slot.size - slot.inlineBytes) / EROFS_BLOCK);
      slot.block = outside === 0 ? 0 : next;
      next += outside;
    }
    // What is behind an inode is in the same block as its end (fs/erofs/data.c); ours are in one with it as a whole.
    const whole = fits ? head + tail : EROFS_INODE_BYTES;
    if ((at % EROFS_BLOCK) + whole > EROFS_BLOCK) at = Math.ceil(at / EROFS_BLOCK) * EROFS_BLOCK;
    slot.number = at / EROFS_SLOT;
    at = Math.ceil((at + head + slot.inlineBytes) / EROFS_SLOT) * EROFS_SLOT;
  }
  return next;
}

/** Content that has blocks of its own, and is known only now. */
async function writeOutside(out: BlockFile, slot: Slot, numbers: Map<Inode, number>): Promise<void> {
  const outside = slot.size - slot.inlineBytes;
  if (outside === 0) return;
  if (slot.node !== undefined) {
    await out.nextBlock();
    await out.write(directoryOf(slot, numbers).subarray(0, outside));
  } else if (slot.small !== undefined && slot.inlineBytes === 0) {
    await out.nextBlock();
    await out.write(slot.small);
  }
}

async function writeMetadata(
  out: BlockFile,
  slots: readonly Slot[],
  metadataBlock: number,
  numbers: Map<Inode, number>,
): Promise<void> {
  for (const [index, slot] of slots.entries()) {
    const { inode } = slot;
    const attributes = attributesOf(slot);
    await out.fillTo(metadataBlock * EROFS_BLOCK + slot.number * EROFS_SLOT);
    const isDevice = inode.kind === "character" || inode.kind === "block";
    await out.write(
      erofsInode({
        ...inode,
        links: slot.links,
        size: slot.size,
        number: index + 1,
        at: isDevice ? erofsDevice(inode.major, inode.minor) : slot.block,
        inline: slot.inlineBytes > 0,
        attributeBytes: attributes.length,
      }),
    );
    await out.write(attributes);
    if (slot.inlineBytes === 0) continue;
    await out.write(
      slot.node === undefined
        ? slot.small!
        : directoryOf(slot, numbers).subarray(slot.size - slot.inlineBytes),
    );
  }
}

/** A directory's names, its own and its parent's among them, in order. */
function names(slot: Slot): string[] {
  return [".", "..", ...slot.node!.children!.keys()].sort(byBytes);
}

function directoryOf(slot: Slot, numbers: Map<Inode, number>): Uint8Array {
  const { children } = slot.node!;
  return erofsDirectory(
    names(slot).map((name) => {
      if (name === ".") return { name, slot: slot.number, kind: "directory" };
      if (name === "..") return { name, slot: (slot.parent ?? slot).number, kind: "directory" };
      const { inode } = children!.get(name)!;
      return { name, slot: numbers.get(inode)!, kind: inode.kind };
    }),
  );
}

function attributesOf({ inode }: Slot): Uint8Array {
  const list: ErofsAttribute[] = [];
  for (const [name, value] of inode.xattrs ?? []) {
    const [start, prefix] = ATTRIBUTE_PREFIXES.find(([beginning]) => name.startsWith(beginning))!;
    list.push({ prefix, name: name.slice(start.length), value });
  }
  return erofsAttributes(list);
}
