import type { TarEntry } from "../../util/tar/reader.ts";
import { invalid } from "../oci/manifest.ts";
import { usefulAttributes } from "./attributes.ts";

/** What a file is, apart from its names. Hard links are several nodes of one. */
export interface Inode {
  readonly kind: "file" | "directory" | "symlink" | "character" | "block" | "pipe";
  /** permission bits, set-uid and the like included */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeS: number;
  readonly mtimeNs: number;
  /** bytes of content: of a file */
  readonly size: number;
  /** of a symlink; bytes, each as one character */
  readonly target: string;
  /** of a device */
  readonly major: number;
  readonly minor: number;
  readonly xattrs: ReadonlyMap<string, Uint8Array> | undefined;
  /** which layer has its content, and which of that layer's entries */
  readonly layer: number;
  readonly ordinal: number;
}

/** A name in the tree. */
export interface Node {
  inode: Inode;
  /** of a directory: by name; bytes, each as one character */
  readonly children: Map<string, Node> | undefined;
  /** the layer that has put it there, or listed it again */
  layer: number;
  /** the last layer that has put something below it */
  touched: number;
}

/** What an image may be, so that making it and booting it stays within bounds. */
export interface TreeLimits {
  /** entries of all layers together */
  readonly entries: number;
  /** bytes of names, link targets and attributes together, which are held in memory */
  readonly textBytes: number;
  /** bytes of content, all layers together */
  readonly contentBytes: number;
}

/** What is there before the first layer: what lower ones have become. */
export interface BaseTree {
  /** its nodes are of layer 0, and are changed */
  readonly root: Node;
  readonly entries: number;
  readonly textBytes: number;
  readonly contentBytes: number;
}

export const TREE_LIMITS: TreeLimits = {
  entries: 2_000_000,
  textBytes: 256 * 1024 * 1024,
  contentBytes: 256 * 1024 ** 3,
};

const MAX_PATH_BYTES = 4096;
const MAX_NAME_BYTES = 255;
const MAX_DEPTH = 2048;
/** As Linux. */
const MAX_SYMLINKS = 40;
/** Directories gone through for all entries together: symlinks to symlinks could make that any number. */
const MAX_STEPS = 200_000_000;
const MAX_ID = 0xffff_fffe;

const WHITEOUT = ".wh.";
const OPAQUE = ".wh..wh..opq";

/**
 * The file system that layers make when they are put over one another, lowest first (image-spec, layer.md). Holds no content. Pure.
 * Symlinks in the middle of a path are followed, and lead nowhere but into the tree.
 */
export class Tree {
  readonly root: Node;
  readonly #image: string;
  readonly #limits: TreeLimits;
  #layer = -1;
  #ordinal = 0;
  #entries = 0;
  #textBytes = 0;
  #contentBytes = 0;
  #steps = 0;

  /**
   * @param image its name, for errors
   * @param base what the layers come over, as layer 0
   */
  constructor(
    image: string,
    { limits = TREE_LIMITS, base }: { limits?: TreeLimits | undefined; base?: BaseTree } = {},
  ) {
    this.#image = image;
    this.#limits = limits;
    this.root = base?.root ?? directoryNode(impliedDirectory(-1), -1);
    if (base === undefined) return;
    this.#layer = 0;
    ({ entries: this.#entries, textBytes: this.#textBytes, contentBytes: this.#contentBytes } = base);
  }

  /** What comes now is of the next layer up. */
  nextLayer(): void {
    this.#layer++;
    this.#ordinal = 0;
  }

  /**
   * Puts the next entry of the layer in.
   * @throws SmolVMError IMAGE_INVALID for one that would leave the tree, or is more than can be
   */
  apply(entry: TarEntry): void {
    const ordinal = this.#ordinal++;
    if (++this.#entries > this.#limits.entries)
      throw this.#refuse(`it has more than ${this.#limits.entries} entries`);
    this.#contentBytes += entry.size;
    if (this.#contentBytes > this.#limits.contentBytes)
      throw this.#refuse(`it is larger than ${Math.floor(this.#limits.contentBytes / 2 ** 30)} GiB unpacked`);
    const parts = this.#parts(entry.path);
    const name = parts.pop();
    if (name === undefined) {
      if (entry.kind !== "directory") throw this.#refuse("its root is no directory");
      this.root.inode = this.#inode(entry, ordinal);
      this.root.layer = this.#layer;
      return;
    }
    if (name.startsWith(WHITEOUT)) {
      this.#whiteout(parts, name);
      return;
    }
    const parent = this.#directory(parts);
    const before = parent.children!.get(name);
    if (entry.kind === "link") {
      const to = this.#linked(entry);
      parent.children!.set(name, {
        inode: to.inode,
        children: undefined,
        layer: this.#layer,
        touched: this.#layer,
      });
      return;
    }
    if (entry.kind === "other" && !"346".includes(entry.type)) return; // of a type that means nothing to Linux
    const inode = this.#inode(entry, ordinal);
    if (inode.kind !== "directory") {
      parent.children!.set(name, { inode, children: undefined, layer: this.#layer, touched: this.#layer });
    } else if (before?.children === undefined) {
      parent.children!.set(name, directoryNode(inode, this.#layer));
    } else {
      before.inode = inode;
      before.layer = this.#layer;
    }
  }

  /** Makes directories that the image wants and no layer has; one that cannot be is left out. */
  addDirectories(paths: readonly string[]): void {
    for (const path of paths) {
      const parts = Buffer.from(path, "utf8")
        .toString("latin1")
        .split("/")
        .filter((part) => part !== "" && part !== ".");
      const fine = parts.every(
        (part) => part !== ".." && part.length <= MAX_NAME_BYTES && !part.includes("\0"),
      );
      if (fine && path.length <= MAX_PATH_BYTES) this.#walk(parts, true);
    }
  }

  /** Whether these are directories, and no symlink leads to them. */
  hasPlain(paths: readonly string[]): boolean {
    return paths.every((path) => {
      let node: Node | undefined = this.root;
      for (const part of Buffer.from(path, "utf8").toString("latin1").split("/"))
        if (part !== "" && part !== ".") node = node?.children?.get(part);
      return node?.children !== undefined;
    });
  }

  /** Removes what lower layers have put under a name, or (opaque) into a directory; what this one has put there stays. */
  #whiteout(parent: readonly string[], name: string): void {
    const hidden = name.slice(WHITEOUT.length);
    if (name !== OPAQUE && name.startsWith(".wh..wh.")) return; // aufs's own notes
    if (name !== OPAQUE && (hidden === "" || hidden === "." || hidden === ".."))
      throw this.#refuse(`it removes '${shown(hidden)}', which is no name`);
    const directory = this.#find(parent);
    if (directory?.children === undefined) return;
    if (name === OPAQUE) this.#removeLower(directory);
    else this.#removeLowerChild(directory, hidden);
  }

  #removeLower(directory: Node): void {
    for (const name of [...directory.children!.keys()]) this.#removeLowerChild(directory, name);
  }

  #removeLowerChild(directory: Node, name: string): void {
    const child = directory.children!.get(name);
    if (child === undefined) return;
    if (Math.max(child.layer, child.touched) < this.#layer) directory.children!.delete(name);
    else if (child.children !== undefined) this.#removeLower(child);
  }

  /** What a hard link is another name of. */
  #linked(entry: TarEntry): Node {
    const parts = this.#parts(entry.target);
    const name = parts.pop();
    const found = name === undefined ? undefined : this.#find(parts)?.children?.get(name);
    if (found === undefined || found.children !== undefined)
      throw this.#refuse(
        `'${shown(text(entry.path))}' is a hard link to '${shown(text(entry.target))}', which is no file of it`,
      );
    return found;
  }

  /** The directory of that path; what is missing of it is made. */
  #directory(parts: readonly string[]): Node {
    const found = this.#walk(parts, true);
    if (found === undefined) throw this.#refuse(`'${shown(parts.join("/"))}' is no directory`);
    return found;
  }

  #find(parts: readonly string[]): Node | undefined {
    return this.#walk(parts, false);
  }

  /** @param make make missing directories, and note that something is put there */
  #walk(parts: readonly string[], make: boolean): Node | undefined {
    const todo = [...parts].reverse();
    let way: Node[] = [this.root];
    let symlinks = 0;
    for (let part = todo.pop(); part !== undefined; part = todo.pop()) {
      if (++this.#steps > MAX_STEPS) throw this.#refuse("its paths are too long together");
      if (part === "" || part === ".") continue;
      if (part === "..") {
        // Of a symlink: above the root is the root.
        if (way.length > 1) way.pop();
        continue;
      }
      const directory = way.at(-1)!;
      let child = directory.children!.get(part);
      if (child === undefined) {
        if (!make) return undefined;
        if (way.length >= MAX_DEPTH) throw this.#refuse(`it has directories more than ${MAX_DEPTH} deep`);
        this.#count(part.length);
        child = directoryNode(impliedDirectory(this.#layer), this.#layer);
        directory.children!.set(part, child);
      }
      if (child.inode.kind === "symlink") {
        if (++symlinks > MAX_SYMLINKS)
          throw this.#refuse(`'${shown(parts.join("/"))}' goes through too many symlinks`);
        const { target } = child.inode;
        if (target.startsWith("/")) way = [this.root];
        todo.push(...target.split("/").reverse());
      } else if (child.children === undefined) return undefined;
      else way.push(child);
    }
    if (make) for (const node of way) node.touched = this.#layer;
    return way.at(-1)!;
  }

  /** The parts of a name in an archive. @throws SmolVMError IMAGE_INVALID for one that is absolute or climbs */
  #parts(path: Uint8Array): string[] {
    const whole = text(path);
    if (whole.length > MAX_PATH_BYTES) throw this.#refuse(`it has a path of ${whole.length} bytes`);
    if (whole.includes("\0")) throw this.#refuse("it has a path with a NUL in it");
    const parts = whole.split("/").filter((part) => part !== "" && part !== ".");
    if (whole.startsWith("/") && parts.length > 0)
      throw this.#refuse(`it has an absolute path, '${shown(whole)}'`);
    if (parts.includes("..")) throw this.#refuse(`it has a path that leaves it, '${shown(whole)}'`);
    const long = parts.find((part) => part.length > MAX_NAME_BYTES);
    if (long !== undefined) throw this.#refuse(`it has a name of ${long.length} bytes`);
    this.#count(whole.length);
    return parts;
  }

  #inode(entry: TarEntry, ordinal: number): Inode {
    const { mode, uid, gid, mtimeS, mtimeNs, major, minor, size } = entry;
    const target = entry.kind === "symlink" ? text(entry.target) : "";
    if (uid > MAX_ID || gid > MAX_ID)
      throw this.#refuse(`'${shown(text(entry.path))}' has an owner that cannot be (${uid}:${gid})`);
    if (
      entry.kind === "symlink" &&
      (target === "" || target.length >= MAX_PATH_BYTES || target.includes("\0"))
    )
      throw this.#refuse(`'${shown(text(entry.path))}' is a symlink to nothing that can be`);
    if (major > 0xfff || minor > 0xf_ffff)
      throw this.#refuse(`'${shown(text(entry.path))}' is a device that cannot be`);
    const xattrs = usefulAttributes(entry.xattrs);
    if (xattrs === undefined)
      throw this.#refuse(`'${shown(text(entry.path))}' has extended attributes that are too large`);
    let bytes = target.length;
    for (const [name, value] of xattrs) bytes += name.length + value.length;
    this.#count(bytes);
    return {
      kind: KINDS[entry.kind === "other" ? entry.type : entry.kind]!,
      mode: entry.kind === "symlink" ? 0o777 : mode,
      uid,
      gid,
      mtimeS,
      mtimeNs,
      size: entry.kind === "file" ? size : 0,
      target,
      major,
      minor,
      xattrs: xattrs.size === 0 ? undefined : xattrs,
      layer: this.#layer,
      ordinal,
    };
  }

  #count(bytes: number): void {
    this.#textBytes += bytes;
    if (this.#textBytes > this.#limits.textBytes)
      throw this.#refuse(
        `its names and attributes are larger than ${Math.floor(this.#limits.textBytes / 2 ** 20)} MiB`,
      );
  }

  #refuse(what: string): Error {
    return invalid(this.#image, what);
  }
}

const KINDS: Readonly<Record<string, Inode["kind"]>> = {
  file: "file",
  directory: "directory",
  symlink: "symlink",
  3: "character",
  4: "block",
  6: "pipe",
};

function directoryNode(inode: Inode, layer: number): Node {
  return { inode, children: new Map(), layer, touched: layer };
}

/** A directory that no entry describes. */
function impliedDirectory(layer: number): Inode {
  const none = { size: 0, target: "", major: 0, minor: 0, xattrs: undefined, ordinal: -1 };
  return { kind: "directory", mode: 0o755, uid: 0, gid: 0, mtimeS: 0, mtimeNs: 0, layer, ...none };
}

/** Bytes, each as one character: names are bytes, and are compared as such. */
function text(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}

/** A name for an error: short, on one line. */
function shown(name: string): string {
  return name.slice(0, 200).replace(/[^\x20-\x7e]/g, "?");
}
