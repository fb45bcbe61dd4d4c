import { BLOCK_BYTES, damaged, decodeHeader, padding, type TarHeader } from "./header.ts";
import { type PaxFields, paxFields } from "./pax.ts";
import { GnuSparse, partsOf, SparseContent, SparseList, sparseRefused } from "./sparse.ts";

/** What is in an archive besides content. `other`: a device or pipe, or of a type that is not known; `link`: one more name of an entry that came before. */
export interface TarEntry {
  readonly kind: "file" | "directory" | "symlink" | "link" | "other";
  /** the type flag as it stands in the archive: "3" a character device, "4" a block device, "6" a pipe */
  readonly type: string;
  /** as it stands in the archive: nothing about it has been checked */
  readonly path: Uint8Array;
  /** of a symlink or link */
  readonly target: Uint8Array;
  /** permission bits */
  readonly mode: number;
  /** bytes of content: of a file, its holes included */
  readonly size: number;
  readonly mtimeS: number;
  readonly mtimeNs: number;
  readonly uid: number;
  readonly gid: number;
  /** of a device */
  readonly major: number;
  readonly minor: number;
  /** by their names, which are bytes, each as one character; undefined: none */
  readonly xattrs: ReadonlyMap<string, Uint8Array> | undefined;
  /** where its content begins in the archive, in bytes; of a sparse file, whose holes are not stored, what there is of it */
  readonly contentAt: number;
}

/** One step through an archive. An entry of kind "file" is followed by its content and `end`. */
export type TarStep =
  | { readonly step: "entry"; readonly entry: TarEntry }
  | { readonly step: "data"; readonly data: Buffer }
  | { readonly step: "end" };

/** Largest extended header or long name, in bytes: paths are at most 4 KiB, but there may be other attributes. */
const MAX_META = 1024 * 1024;

const KINDS: Readonly<Record<string, TarEntry["kind"]>> = {
  0: "file",
  7: "file", // "contiguous"
  1: "link",
  2: "symlink",
  3: "other",
  4: "other",
  5: "directory",
  6: "other",
  D: "directory", // GNU's, with a list of names as content
};
/** Links, devices and directories have none, whatever size their header names. */
const NO_CONTENT = "123456";
/** Headers whose content is about the next entry, or (g) about all: extended headers, GNU's long names and links. */
const META = "xgXLK";

/**
 * Reads an archive (POSIX ustar and pax, GNU, V7) that comes in pieces of any size. Pure; holds at most one header, one block, 1 MiB
 * of what extended headers say, and the list of a sparse file's parts.
 */
export class TarReader {
  /** the block or extended header that is coming */
  #pending: Buffer = Buffer.alloc(BLOCK_BYTES);
  #pendingBytes = 0;
  #state: "header" | "meta" | "list" | "data" | "skip" | "over" = "header";
  #meta = "";
  /** bytes of content, then of padding, still to come */
  #left = 0;
  #fill = 0;
  #next: PaxFields = {};
  #begun = false;
  /** bytes of the archive up to the end of the piece that is being read, and what is left of that */
  #read = 0;
  #rest = 0;
  readonly #sparse: boolean;
  /** the header of a sparse file of GNU's, while its list comes, and the list */
  #gnu: { readonly header: TarHeader; readonly list: GnuSparse } | undefined;
  /** at the beginning of a sparse file's content */
  #list: { readonly list: SparseList; readonly size: number } | undefined;
  /** what puts the holes back */
  #holes: SparseContent | undefined;
  /** of the entry that is being read, for errors */
  #path: Uint8Array = Buffer.alloc(0);

  /** @param options `sparse`: files that were stored without their holes are read, with them; default: they are refused */
  constructor({ sparse = false }: { sparse?: boolean } = {}) {
    this.#sparse = sparse;
  }

  /** The archive's end was read; what follows means nothing. */
  get over(): boolean {
    return this.#state === "over";
  }

  /** @throws SmolVMError FILE_FAILED for what is no archive; NOT_SUPPORTED for sparse files where they are refused */
  *push(chunk: Buffer): Generator<TarStep> {
    let rest = chunk;
    this.#read += chunk.length;
    while (rest.length > 0 && this.#state !== "over") {
      switch (this.#state) {
        case "header": {
          rest = this.#gather(rest);
          if (this.#pendingBytes < this.#pending.length) return;
          this.#pendingBytes = 0;
          this.#rest = rest.length;
          yield* this.#header(this.#pending);
          break;
        }
        case "meta": {
          rest = this.#gather(rest);
          if (this.#pendingBytes < this.#pending.length) return;
          this.#noteMeta(this.#pending);
          this.#begin("header");
          break;
        }
        case "list": {
          rest = this.#gather(rest);
          if (this.#pendingBytes < this.#pending.length) return;
          const { header, list } = this.#gnu!;
          list.extend(this.#pending);
          this.#pendingBytes = 0;
          this.#rest = rest.length;
          if (!list.more) yield* this.#file(header, list);
          break;
        }
        case "data": {
          const data = rest.subarray(0, this.#left);
          rest = rest.subarray(data.length);
          this.#left -= data.length;
          yield* this.#data(data);
          if (this.#left === 0) yield* this.#end();
          break;
        }
        case "skip": {
          const skipped = Math.min(this.#left, rest.length);
          rest = rest.subarray(skipped);
          this.#left -= skipped;
          if (this.#left === 0) this.#begin("header");
          break;
        }
      }
    }
  }

  /** The input has ended. @throws SmolVMError FILE_FAILED if that is in the middle */
  finish(): void {
    if (!this.#begun && this.#pendingBytes === 0 && !this.over) throw damaged("it is empty");
    if (this.over || (this.#state === "header" && this.#pendingBytes === 0)) return;
    if (!this.#begun) throw noArchive(this.#pending.subarray(0, this.#pendingBytes));
    throw damaged(`it ends in the middle${this.#path.length > 0 ? ` of '${shown(this.#path)}'` : ""}`);
  }

  #gather(from: Buffer): Buffer {
    const take = Math.min(this.#pending.length - this.#pendingBytes, from.length);
    from.copy(this.#pending, this.#pendingBytes, 0, take);
    this.#pendingBytes += take;
    return from.subarray(take);
  }

  #begin(state: "header" | "meta" | "list", bytes: number = BLOCK_BYTES): void {
    this.#state = state;
    this.#pending = Buffer.alloc(bytes);
    this.#pendingBytes = 0;
  }

  *#header(block: Buffer): Generator<TarStep> {
    let header: TarHeader | undefined;
    try {
      header = decodeHeader(block);
    } catch (error) {
      throw this.#begun ? error : noArchive(block);
    }
    this.#begun = true;
    if (header === undefined) {
      this.#state = "over";
      return;
    }
    const { type } = header;
    if (META.includes(type)) {
      if (header.size === 0 || header.size > MAX_META)
        throw damaged(`an extended header of ${header.size} bytes`);
      this.#meta = type;
      this.#begin("meta", header.size + padding(header.size));
      this.#left = header.size;
      return;
    }
    if (type === "S") {
      if (!this.#sparse) throw sparseRefused();
      const list = new GnuSparse(block);
      this.#gnu = { header, list };
      if (list.more) this.#begin("list");
      else yield* this.#file(header, list);
      return;
    }
    if (type === "M") throw damaged("it is one of several volumes");
    yield* this.#file(header);
  }

  /** An entry, once all that its headers say is known. @param gnu what there is of it, of a sparse file of GNU's */
  *#file(header: TarHeader, gnu?: GnuSparse): Generator<TarStep> {
    const { type } = header;
    const { path, linkName, mtimeS = header.mtime, mtimeNs = 0, xattrs, sparse } = this.#next;
    const { uid = header.uid, gid = header.gid } = this.#next;
    const stored = NO_CONTENT.includes(type) ? 0 : (this.#next.size ?? header.size);
    this.#next = {};
    this.#path = sparse?.name ?? path ?? header.name;
    this.#list = undefined;
    this.#holes = undefined;
    let size = stored;
    if (gnu !== undefined || sparse !== undefined) {
      if (!this.#sparse) throw sparseRefused();
      size = gnu?.size ?? sparse?.size ?? stored;
      if (gnu !== undefined) this.#holes = new SparseContent(gnu.parts, size, stored);
      else if (sparse?.major === undefined || sparse.major === 0)
        this.#holes = new SparseContent(partsOf(sparse?.numbers ?? []), size, stored);
      else if (sparse.major === 1 && sparse.minor === 0) this.#list = { list: new SparseList(), size };
      else throw damaged(`a sparse file of the format ${sparse.major}.${sparse.minor}`);
    }
    let kind = gnu === undefined ? (KINDS[type] ?? "other") : "file";
    // Before POSIX a slash at the end was all that told a directory.
    if (kind === "file" && this.#path.at(-1) === 0x2f) kind = "directory";
    this.#left = stored;
    this.#fill = padding(stored);
    // A volume's label is no entry.
    if (type !== "V") {
      const target = linkName ?? header.linkName;
      const { mode, major = 0, minor = 0 } = header;
      const contentAt = this.#read - this.#rest;
      const entry = {
        kind,
        type: gnu === undefined ? type : "0",
        path: this.#path,
        target,
        mode,
        size,
        mtimeS,
        mtimeNs,
        uid,
        gid,
      };
      yield { step: "entry", entry: { ...entry, major, minor, xattrs, contentAt } };
    }
    if (kind === "file" && stored > 0) this.#state = "data";
    else if (kind === "file") yield* this.#end();
    else this.#skip(stored + this.#fill);
  }

  /** Content as it is stored. */
  *#data(stored: Buffer): Generator<TarStep> {
    let data = stored;
    if (this.#list !== undefined) {
      const { list, size } = this.#list;
      const left = list.take(data);
      if (left === undefined) return;
      this.#holes = new SparseContent(list.parts, size, this.#left + left);
      this.#list = undefined;
      data = data.subarray(data.length - left);
    }
    if (this.#holes === undefined) yield { step: "data", data };
    else for (const piece of this.#holes.data(data)) yield { step: "data", data: piece };
  }

  *#end(): Generator<TarStep> {
    if (this.#list !== undefined) throw damaged("a sparse file's list has no end");
    if (this.#holes !== undefined) for (const data of this.#holes.end()) yield { step: "data", data };
    yield { step: "end" };
    this.#skip(this.#fill);
  }

  #skip(bytes: number): void {
    this.#left = bytes;
    if (bytes === 0) this.#begin("header");
    else this.#state = "skip";
  }

  #noteMeta(padded: Buffer): void {
    const content = padded.subarray(0, this.#left);
    switch (this.#meta) {
      case "L":
        this.#next = { path: withoutNul(content), ...this.#next };
        return;
      case "K":
        this.#next = { linkName: withoutNul(content), ...this.#next };
        return;
      case "g": {
        const { path, linkName, size } = paxFields(content);
        if (path ?? linkName ?? size) throw damaged("a header for all entries names one");
        return;
      }
      default:
        this.#next = { ...this.#next, ...paxFields(content) };
    }
  }
}

function withoutNul(name: Buffer): Buffer {
  const end = name.indexOf(0);
  return Buffer.from(end < 0 ? name : name.subarray(0, end));
}

/** A name for an error: short, on one line. */
function shown(path: Uint8Array): string {
  return Buffer.from(path)
    .toString("utf8")
    .slice(0, 200)
    .replace(/[\u0000-\u001f\u007f-\u009f]/g, "?");
}

const COMPRESSED: readonly (readonly [string, string, string])[] = [
  ["1f8b", "gzip", "gzip -dc"],
  ["28b52ffd", "zstd", "zstd -dc"],
  ["fd377a585a00", "xz", "xz -dc"],
  ["425a68", "bzip2", "bzip2 -dc"],
];

function noArchive(start: Buffer): Error {
  const hex = start.toString("hex", 0, 8);
  const found = COMPRESSED.find(([magic]) => hex.startsWith(magic));
  if (found === undefined) return damaged("it is no tar archive");
  return damaged(`it is compressed with ${found[1]}`, `Decompress it first: ${found[2]} FILE | ...`);
}
