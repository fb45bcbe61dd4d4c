import { Readable } from "node:stream";
import { isSmolVMError, SmolVMError } from "../../errors.ts";
import type { Deadline } from "../../util/deadline.ts";
import { BLOCK_BYTES, encodeEntry, type TarHeader } from "../../util/tar/header.ts";
import { Inflow } from "../session/inflow.ts";
import type { AgentSession } from "../session/session.ts";
import { type FileInfo, TreeRecord } from "../wire/messages.ts";
import { RecordDecoder } from "../wire/records.ts";
import { decode } from "../wire/schema.ts";
import { unsafe } from "./entry-path.ts";
import { guestPath, guestUser, showPath } from "./guest-path.ts";
import type { SkippedEntry } from "./host-tree.ts";
import { TarFile } from "./tar-file.ts";
import { mtimeOf, type TreeLimits, TreePolicy, type TreeStep } from "./tree-policy.ts";
import type { FileOptions } from "./types.ts";

/** Options of `downloadTar`. */
export interface DownloadTarOptions extends FileOptions, TreeLimits {
  /** the name that everything is under in the archive; default the path's own, none for a path that ends in `/.` */
  name?: string | undefined;
  /** told of each entry that is left out, and of files that were cut because they grew while they were read */
  onSkipped?: ((entry: SkippedEntry) => void) | undefined;
}

const NOTHING = Buffer.alloc(0);
/** Never set-user-id and the like: an archive is mostly unpacked by somebody who trusts it. */
const MODE_MASK = 0o777;
/** Largest number that a header's 7 octal digits hold; a higher user or group is root's own business. */
const MAX_ID = 0o7777777;

/** Reads a file or directory of the guest as a tar archive; see {@link GuestFiles.downloadTar}. */
export async function downloadTar(
  session: AgentSession,
  from: string,
  options: DownloadTarOptions,
  deadline: Deadline,
): Promise<Readable> {
  const name = Buffer.from(options.name ?? ownName(from));
  const read = { path: guestPath(from), user: guestUser(options.user) };
  const what = `packing ${showPath(from)}`;
  const request = { what, effects: false, context: "file" } as const;
  const file = new Inflow(session, { ...request, open: { fileRead: read } }, deadline, false);
  file.result.catch(() => {}); // taking throws it
  try {
    const { file: info } = await file.opened;
    if (name.length === 0)
      throw new SmolVMError("FILE_TYPE", `${what} failed: it is a file, no directory`, {
        details: { side: "guest", errno: "ENOTDIR" },
      });
    return stream(file, what, fileChunks(file, name, info, options));
  } catch (error) {
    file.cancel(error);
    if (!isSmolVMError(error, "FILE_TYPE") || error.details.guestCode === undefined) throw error;
  }
  // "/." makes a symlink to a directory mean the directory.
  const path = guestPath(`${from.replace(/\/+$/, "")}/.`);
  const tree = new Inflow(session, { ...request, open: { treeRead: { ...read, path } } }, deadline, true);
  tree.result.catch(() => {}); // taking throws it
  await tree.opened;
  return stream(tree, what, treeChunks(tree, name, options));
}

/** The last component of a path, "" for one that has none. Pure. */
function ownName(path: string): string {
  const last = path.replace(/\/+$/, "").split("/").at(-1)!;
  return last === "." || last === ".." ? "" : last;
}

/** A Readable that takes from the guest what is read from it, and stops the guest when it is destroyed. */
function stream(inflow: Inflow, what: string, chunks: AsyncGenerator<Buffer, void>): Readable {
  return new Readable({
    highWaterMark: 256 * 1024,
    read() {
      chunks.next().then(
        ({ value }) => this.push(value ?? null),
        (error: Error) => this.destroy(error),
      );
    },
    destroy(error, callback) {
      inflow.cancel(error ?? new SmolVMError("ABORTED", `${what} was given up`));
      callback(error);
    },
  });
}

/** Bytes of an archive on their way out, gathered into one chunk for each look at what came in. */
class Gathered {
  #pieces: Uint8Array[] = [];
  readonly write = (bytes: Uint8Array): void => void this.#pieces.push(bytes);

  take(): Buffer | undefined {
    const pieces = this.#pieces;
    this.#pieces = [];
    const chunk = Buffer.concat(pieces);
    return chunk.length === 0 ? undefined : chunk;
  }
}

const END = Buffer.alloc(2 * BLOCK_BYTES);

async function* fileChunks(
  inflow: Inflow,
  name: Buffer,
  info: FileInfo | undefined,
  options: DownloadTarOptions,
): AsyncGenerator<Buffer, void> {
  const out = new Gathered();
  const mode = (info?.mode ?? 0o644) & MODE_MASK;
  const entry = header(name, mode, info === undefined ? 0 : mtimeOf(info), "0", info);
  const file = new TarFile({ ...entry, size: info?.size ?? 0 }, out.write);
  for (let pieces = await inflow.takeAll(); pieces !== undefined; pieces = await inflow.takeAll()) {
    for (const piece of pieces) file.data(piece);
    const chunk = out.take();
    if (chunk !== undefined) yield chunk;
  }
  endFile(file, name, options);
  out.write(END);
  yield out.take()!;
}

async function* treeChunks(
  inflow: Inflow,
  name: Buffer,
  options: DownloadTarOptions,
): AsyncGenerator<Buffer, void> {
  const policy = new TreePolicy("linux", options);
  const out = new Gathered();
  const packing = new Packing(name, options, out.write);
  const records = new RecordDecoder((record) => {
    const message = decode(TreeRecord, record);
    packing.take(policy.step(message), message.entry);
  });
  for (let pieces = await inflow.takeAll(); pieces !== undefined; pieces = await inflow.takeAll()) {
    for (const piece of pieces) records.push(piece);
    const chunk = out.take();
    if (chunk !== undefined) yield chunk;
  }
  records.finish();
  policy.finish();
  out.write(END);
  yield out.take()!;
}

function header(
  name: Uint8Array,
  mode: number,
  mtime: number,
  type: string,
  info: Pick<FileInfo, "uid" | "gid"> | undefined,
  linkName: Uint8Array = NOTHING,
): TarHeader {
  const id = (value = 0): number => (value > MAX_ID ? 0 : value);
  const owner = { uid: id(info?.uid), gid: id(info?.gid) };
  return { name, mode, ...owner, size: 0, mtime: Math.floor(mtime), type, linkName };
}

function endFile(file: TarFile, path: Uint8Array, { onSkipped }: DownloadTarOptions): void {
  file.end();
  if (file.dropped === 0) return;
  const reason = `its last ${file.dropped} bytes: it grew while it was read`;
  onSkipped?.({ path: Buffer.from(path).toString("utf8"), reason });
}

/** Turns the checked steps of a tree into an archive. */
class Packing {
  readonly #name: Buffer;
  readonly #options: DownloadTarOptions;
  readonly #write: (bytes: Uint8Array) => void;
  /** the directories from the root down to where the last entry was: nothing may come but into one of them */
  #chain: string[] = [];
  #file: { file: TarFile; path: Uint8Array } | undefined;

  constructor(name: Buffer, options: DownloadTarOptions, write: (bytes: Uint8Array) => void) {
    this.#name = name;
    this.#options = options;
    this.#write = write;
  }

  take(step: TreeStep, info: FileInfo | undefined): void {
    switch (step.kind) {
      case "directory": {
        const path = step.path.length === 0 ? this.#name : this.#below(step.path);
        if (step.path.length > 0) this.#chain.push(Buffer.from(step.path).toString("latin1"));
        const slashed = path.length === 0 ? Buffer.from("./") : Buffer.concat([path, Buffer.from("/")]);
        this.#write(encodeEntry(header(slashed, step.mode, step.mtime, "5", info)));
        return;
      }
      case "file": {
        const path = this.#below(step.path);
        const entry = { ...header(path, step.mode, step.mtime, "0", info), size: step.size };
        this.#file = { file: new TarFile(entry, this.#write), path };
        return;
      }
      case "data":
        this.#file!.file.data(step.data);
        return;
      case "end":
        endFile(this.#file!.file, this.#file!.path, this.#options);
        this.#file = undefined;
        return;
      case "symlink": {
        const path = this.#below(step.path);
        this.#write(encodeEntry(header(path, 0o777, mtimeOf(info!), "2", info, step.target)));
        return;
      }
      case "skip":
        this.#options.onSkipped?.({ path: Buffer.from(step.path).toString("utf8"), reason: step.reason });
        return;
    }
  }

  /**
   * The path in the archive. Whoever unpacks it makes its entries one by one, so an entry must be in a directory that was sent just
   * before: else a symlink could lead it elsewhere.
   */
  #below(path: Uint8Array): Buffer {
    const text = Buffer.from(path).toString("latin1");
    const slash = text.lastIndexOf("/");
    const parent = text.slice(0, Math.max(0, slash));
    while (this.#chain.length > 0 && this.#chain.at(-1) !== parent) this.#chain.pop();
    if (slash >= 0 && this.#chain.length === 0)
      throw unsafe(path, "is in a directory that was not sent before it");
    return this.#name.length === 0 ? Buffer.from(path) : Buffer.concat([this.#name, Buffer.from("/"), path]);
  }
}
