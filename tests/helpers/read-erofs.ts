import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

/** What a file system says of one name. */
export interface SeenFile {
  readonly kind: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeNs: string;
  readonly links: number;
  /** of files: the same for names of one file */
  readonly inode: number;
  readonly size: number;
  readonly sha256: string | undefined;
  readonly target: string | undefined;
  readonly device: string | undefined;
  /** values in hex */
  readonly xattrs: Readonly<Record<string, string>>;
}

const KINDS: Readonly<Record<number, string>> = {
  8: "file",
  4: "directory",
  10: "symlink",
  2: "character",
  6: "block",
  1: "pipe",
};
const PREFIXES: Readonly<Record<number, string>> = {
  1: "user.",
  2: "system.posix_acl_access",
  3: "system.posix_acl_default",
  4: "trusted.",
  6: "security.",
};

/** Everything in an EROFS image that is not compressed, by path (bytes, each as one character), as the kernel's reader finds it. */
export function readErofs(path: string): Map<string, SeenFile> {
  const image = readFileSync(path);
  const sb = image.subarray(1024);
  if (sb.readUInt32LE(0) !== 0xe0f5e1e2) throw new Error("no EROFS");
  const metadata = sb.readUInt32LE(40) * 4096;
  const seen = new Map<string, SeenFile>();

  const read = (number: number): { file: SeenFile; content: Buffer } => {
    const at = metadata + number * 32;
    const format = image.readUInt16LE(at);
    if ((format & 1) !== 1) throw new Error("a small inode");
    const icount = image.readUInt16LE(at + 2);
    const mode = image.readUInt16LE(at + 4);
    const size = Number(image.readBigUInt64LE(at + 8));
    const value = image.readUInt32LE(at + 16);
    const xattrBytes = icount === 0 ? 0 : 12 + 4 * (icount - 1);
    const kind = KINDS[mode >> 12]!;
    const inline = format >> 1 === 2;
    const outside = inline ? Math.floor(size / 4096) * 4096 : size;
    const parts = [image.subarray(value * 4096, value * 4096 + outside)];
    if (inline) {
      const from = at + 64 + xattrBytes;
      if (Math.floor(from / 4096) !== Math.floor((from + size - outside - 1) / 4096))
        throw new Error("content crosses a block");
      parts.push(image.subarray(from, from + size - outside));
    }
    const isDevice = kind === "character" || kind === "block";
    const content = isDevice || size === 0 ? Buffer.alloc(0) : Buffer.concat(parts);
    const ns = image.readBigUInt64LE(at + 32) * 1_000_000_000n + BigInt(image.readUInt32LE(at + 40));
    const file: SeenFile = {
      kind,
      mode: mode & 0o7777,
      uid: image.readUInt32LE(at + 24),
      gid: image.readUInt32LE(at + 28),
      mtimeNs: String(ns),
      links: image.readUInt32LE(at + 44),
      inode: number,
      size: kind === "file" ? size : 0,
      sha256: kind === "file" ? createHash("sha256").update(content).digest("hex") : undefined,
      target: kind === "symlink" ? content.toString("latin1") : undefined,
      device: isDevice ? `${(value >> 8) & 0xfff}:${(value & 0xff) | ((value >> 12) & 0xfff00)}` : undefined,
      xattrs: xattrs(image.subarray(at + 64, at + 64 + xattrBytes)),
    };
    return { file, content };
  };

  const walk = (number: number, parent: number, path: string): void => {
    const { file, content } = read(number);
    seen.set(path, file);
    if (file.kind !== "directory") return;
    let last = "";
    for (let block = 0; block < content.length; block += 4096) {
      const bytes = content.subarray(block, block + 4096);
      const count = bytes.readUInt16LE(8) / 12;
      for (let index = 0; index < count; index++) {
        const child = Number(bytes.readBigUInt64LE(index * 12));
        const from = bytes.readUInt16LE(index * 12 + 8);
        const to = index + 1 < count ? bytes.readUInt16LE(index * 12 + 20) : bytes.length;
        const name = bytes.toString("latin1", from, to).replace(/\0+$/, "");
        if (name <= last) throw new Error(`${path}: ${name} comes after ${last}`);
        last = name;
        if (name === "." && child !== number) throw new Error(`${path}: . is another`);
        if (name === ".." && child !== parent) throw new Error(`${path}: .. is another`);
        if (name !== "." && name !== "..") walk(child, number, path === "" ? name : `${path}/${name}`);
      }
    }
  };
  const root = sb.readUInt16LE(14);
  walk(root, root, "");
  return seen;
}

function xattrs(body: Buffer): Record<string, string> {
  const found: Record<string, string> = {};
  for (let at = 12; at < body.length; ) {
    const nameLength = body[at]!;
    const valueLength = body.readUInt16LE(at + 2);
    const name = `${PREFIXES[body[at + 1]!]}${body.toString("latin1", at + 4, at + 4 + nameLength)}`;
    found[name] = body.toString("hex", at + 4 + nameLength, at + 4 + nameLength + valueLength);
    at = (at + 4 + nameLength + valueLength + 3) & ~3;
  }
  return found;
}
