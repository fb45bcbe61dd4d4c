import { createHash, type Hash } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import type { TarStep } from "../../util/tar/reader.ts";
import { EROFS_BLOCK, EROFS_INODE_BYTES, EROFS_SLOT, EROFS_SUPERBLOCK_AT } from "../formats/erofs.ts";
import { ATTRIBUTE_PREFIXES } from "./attributes.ts";
import type { BaseTree, Inode, Node } from "./tree.ts";

/** Inodes, names and little files together, which are held in memory: larger ones are unpacked again instead. */
const MAX_METADATA_BYTES = 256 * 1024 * 1024;
const PIECE_BYTES = 256 * 1024;

const KINDS: Readonly<Record<number, Inode["kind"]>> = {
  1: "pipe",
  2: "character",
  4: "directory",
  6: "block",
  8: "file",
  10: "symlink",
};

/** What is to be made cannot begin with that file system. */
export class BaseUnfit extends Error {}

/** It is not as it was written. */
export class BaseDamaged extends BaseUnfit {}

/** A file with content: where that is, or itself if it is behind the inode. */
interface BaseFile {
  readonly inode: { -readonly [Key in keyof Inode]: Inode[Key] };
  /** in bytes */
  readonly at: number;
  readonly inline: Buffer | undefined;
}

/** What is read of a layer to write its content: {@link TarStep} is one. */
export type ContentStep = { readonly step: "entry" } | Exclude<TarStep, { readonly step: "entry" }>;

/**
 * A file system that {@link writeErofs} has written of layers: others over them begin with it, instead of unpacking those again. Its files stand for one layer, in the order in which they lie there,
 * so what is made over it is the same bytes as made of all layers.
 */
export class UnpackedBase {
  readonly tree: BaseTree;
  readonly #file: FileHandle;
  readonly #files: readonly BaseFile[];
  readonly #sha256: string;
  /** of all before `#hashed`: it is read once, for its content, and all between is read with that */
  #hash: Hash = createHash("sha256");
  #hashed = 0;
  readonly #buffer = Buffer.allocUnsafe(PIECE_BYTES);

  private constructor(file: FileHandle, tree: BaseTree, files: readonly BaseFile[], sha256: string) {
    this.#file = file;
    this.tree = tree;
    this.#files = files;
    this.#sha256 = sha256;
  }

  /**
   * @param sha256 what it is, in hex: {@link checkWhole} compares
   * @throws if it is none, or too large to be held in memory
   */
  static async open(path: string, sha256: string): Promise<UnpackedBase> {
    const file = await open(path, "r");
    try {
      const reader = await BaseReader.of(file);
      const tree = await reader.tree();
      return new UnpackedBase(file, tree, reader.files(), sha256);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** All files with content, as if they came from a layer's tar. @param onBytes told of each piece */
  async *contents(onBytes: (count: number) => void): AsyncGenerator<ContentStep, void, undefined> {
    this.#hash = createHash("sha256");
    this.#hashed = 0;
    for (const { inode, at, inline } of this.#files) {
      yield { step: "entry" };
      if (inline !== undefined) yield { step: "data", data: inline };
      else {
        if (at < this.#hashed) throw damaged(); // two of them lie on one another
        await this.#skip(at);
        for await (const data of this.#until(at + inode.size)) {
          onBytes(data.length);
          yield { step: "data", data };
        }
      }
      yield { step: "end" };
    }
  }

  /** What comes before a place and was not read yet. */
  async *#until(end: number): AsyncGenerator<Buffer, void, undefined> {
    while (this.#hashed < end) {
      const want = Math.min(PIECE_BYTES, end - this.#hashed);
      const { bytesRead } = await this.#file.read(this.#buffer, 0, want, this.#hashed);
      if (bytesRead === 0) throw damaged();
      const data = this.#buffer.subarray(0, bytesRead);
      this.#hash.update(data);
      this.#hashed += bytesRead;
      yield data;
    }
  }

  async #skip(end: number): Promise<void> {
    for await (const data of this.#until(end)) void data;
  }

  /** Reads what {@link contents} has left; without that all. @throws BaseDamaged: something that was taken from it may be wrong */
  async checkWhole(): Promise<void> {
    const { size } = await this.#file.stat();
    await this.#skip(size);
    if (this.#hash.digest("hex") !== this.#sha256)
      throw new BaseDamaged("its bytes are not those that were recorded");
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

/** Reads names and inodes. */
class BaseReader {
  readonly #file: FileHandle;
  readonly #metadata: Buffer;
  readonly #root: number;
  readonly #inodes = new Map<number, Inode>();
  readonly #files: BaseFile[] = [];
  #entries = 0;
  #textBytes = 0;
  #contentBytes = 0;

  private constructor(file: FileHandle, metadata: Buffer, root: number) {
    this.#file = file;
    this.#metadata = metadata;
    this.#root = root;
  }

  static async of(file: FileHandle): Promise<BaseReader> {
    const superblock = await exactly(file, EROFS_SUPERBLOCK_AT, 128);
    const from = superblock.readUInt32LE(40) * EROFS_BLOCK;
    const { size } = await file.stat();
    if (size - from > MAX_METADATA_BYTES) throw new BaseUnfit("its inodes are too many");
    return new BaseReader(file, await exactly(file, from, size - from), superblock.readUInt16LE(14));
  }

  async tree(): Promise<BaseTree> {
    const { inode } = this.#inode(this.#root);
    const root: Node = { inode, children: new Map(), layer: 0, touched: 0 };
    const todo: [Node, number][] = [[root, this.#root]];
    for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
      const [directory, number] = next;
      for (const [name, child] of names(await this.#content(number))) {
        if (name === "." || name === "..") continue;
        this.#textBytes += name.length;
        const node = await this.#node(child);
        directory.children!.set(name, node);
        if (node.children !== undefined) todo.push([node, child]);
      }
    }
    const [entries, textBytes, contentBytes] = [this.#entries, this.#textBytes, this.#contentBytes];
    return { root, entries, textBytes, contentBytes };
  }

  /** In the order in which they lie there; what is behind inodes comes last. Their ordinals are those. */
  files(): readonly BaseFile[] {
    const end = Number.POSITIVE_INFINITY;
    const files = this.#files.sort((a, b) => (a.inline ? end : a.at) - (b.inline ? end : b.at) || 0);
    for (const [index, { inode }] of files.entries()) inode.ordinal = index;
    return files;
  }

  async #node(number: number): Promise<Node> {
    if (++this.#entries > this.#metadata.length / EROFS_SLOT) throw damaged(); // a directory in itself
    const { inode, isNew } = this.#inode(number);
    if (isNew && inode.kind === "symlink") {
      const target = (await this.#content(number)).toString("latin1");
      this.#textBytes += target.length;
      Object.assign(inode, { target });
    }
    const children = inode.kind === "directory" ? new Map() : undefined;
    return { inode, children, layer: 0, touched: 0 };
  }

  #inode(number: number): { inode: Inode; isNew: boolean } {
    const known = this.#inodes.get(number);
    if (known !== undefined) return { inode: known, isNew: false };
    const { mode, size, value, inline } = this.#head(number);
    const bytes = this.#metadata.subarray(number * EROFS_SLOT);
    const kind = KINDS[mode >> 12];
    if (kind === undefined) throw damaged();
    const isDevice = kind === "character" || kind === "block";
    const xattrs = this.#attributes(number);
    const inode = {
      kind,
      mode: mode & 0o7777,
      uid: bytes.readUInt32LE(24),
      gid: bytes.readUInt32LE(28),
      mtimeS: Number(bytes.readBigUInt64LE(32)),
      mtimeNs: bytes.readUInt32LE(40),
      size: kind === "file" ? size : 0,
      target: "",
      major: isDevice ? (value >> 8) & 0xfff : 0,
      minor: isDevice ? (value & 0xff) | ((value >>> 12) & 0xf_ff00) : 0,
      xattrs,
      layer: 0,
      ordinal: -1,
    };
    if (kind === "file" && size > 0) {
      this.#contentBytes += size;
      this.#files.push({ inode, at: value * EROFS_BLOCK, inline });
    }
    this.#inodes.set(number, inode);
    return { inode, isNew: true };
  }

  #head(number: number): { mode: number; size: number; value: number; inline: Buffer | undefined } {
    const at = number * EROFS_SLOT;
    const bytes = this.#metadata.subarray(at);
    const size = Number(bytes.readBigUInt64LE(8));
    const isInline = bytes.readUInt16LE(0) >> 1 === 2;
    const behind = EROFS_INODE_BYTES + this.#attributeBytes(number);
    const inline = isInline ? bytes.subarray(behind, behind + (size % EROFS_BLOCK)) : undefined;
    return { mode: bytes.readUInt16LE(4), size, value: bytes.readUInt32LE(16), inline };
  }

  /** All of it, of a directory or symlink. */
  async #content(number: number): Promise<Buffer> {
    const { size, value, inline } = this.#head(number);
    const outside = size - (inline?.length ?? 0);
    if (outside > MAX_METADATA_BYTES) throw damaged();
    if (outside === 0) return inline ?? Buffer.alloc(0);
    const blocks = await exactly(this.#file, value * EROFS_BLOCK, outside);
    return inline === undefined ? blocks : Buffer.concat([blocks, inline]);
  }

  #attributeBytes(number: number): number {
    const count = this.#metadata.readUInt16LE(number * EROFS_SLOT + 2);
    return count === 0 ? 0 : 12 + 4 * (count - 1);
  }

  #attributes(number: number): ReadonlyMap<string, Uint8Array> | undefined {
    const from = number * EROFS_SLOT + EROFS_INODE_BYTES;
    const body = this.#metadata.subarray(from, from + this.#attributeBytes(number));
    if (body.length === 0) return undefined;
    const found = new Map<string, Uint8Array>();
    for (let at = 12; at < body.length; ) {
      const [nameEnd, valueBytes] = [at + 4 + body[at]!, body.readUInt16LE(at + 2)];
      const prefix = ATTRIBUTE_PREFIXES.find(([, index]) => index === body[at + 1]);
      if (prefix === undefined) throw damaged();
      const name = `${prefix[0]}${body.toString("latin1", at + 4, nameEnd)}`;
      found.set(name, body.subarray(nameEnd, nameEnd + valueBytes));
      this.#textBytes += name.length + valueBytes;
      at = (nameEnd + valueBytes + 3) & ~3;
    }
    return found;
  }
}

/** The names in a directory, with their inodes' numbers. Pure. */
function* names(content: Buffer): Generator<[string, number]> {
  for (let from = 0; from < content.length; from += EROFS_BLOCK) {
    const block = content.subarray(from, from + EROFS_BLOCK);
    const count = block.readUInt16LE(8) / 12;
    for (let index = 0; index < count; index++) {
      const start = block.readUInt16LE(index * 12 + 8);
      const end = index + 1 < count ? block.readUInt16LE(index * 12 + 20) : block.length;
      const name = block.toString("latin1", start, end).replace(/\0+$/, "");
      yield [name, Number(block.readBigUInt64LE(index * 12))];
    }
  }
}

async function exactly(file: FileHandle, at: number, size: number): Promise<Buffer> {
  const bytes = Buffer.alloc(size);
  const { bytesRead } = await file.read(bytes, 0, size, at);
  if (bytesRead !== size) throw damaged();
  return bytes;
}

function damaged(): Error {
  return new BaseDamaged("it is no file system that smolvm has written");
}
