import {
  type BigIntStats,
  closeSync,
  constants,
  lstatSync,
  opendirSync,
  openSync,
  readlinkSync,
  readSync,
} from "node:fs";
import { type FileHandle, open, stat } from "node:fs/promises";
import { resolve } from "node:path";
import { SmolVMError } from "../../errors.ts";
import type { Deadline } from "../../util/deadline.ts";
import { escapeTerminal } from "../../util/escape-terminal.ts";
import { hostLinkTarget, hostMode } from "../../util/host-files.ts";
import { TimeSlice } from "../../util/time-slice.ts";
import type { AgentSession } from "../session/session.ts";
import { FileType } from "../wire/messages.ts";
import { guestPath, guestUser } from "./guest-path.ts";
import { hostError } from "./host-error.ts";
import { checkHostPath } from "./host-target.ts";
import type { SkippedEntry } from "./host-tree.ts";
import { Outflow } from "./outflow.ts";
import { exactMode, TreeSender } from "./tree-sender.ts";
import type { TransferOptions, TransferResult } from "./types.ts";

/** Large files are read in pieces of this size: four data records. */
const READ_BYTES = 4 * 65_000;
/** Files up to this size are read in one go. */
const SMALL_BYTES = 64 * 1024;
// Names as bytes: the types know text alone.
const OPENDIR = { encoding: "buffer" as BufferEncoding, bufferSize: 256 };
const MAX_SKIPPED = 1000;

/** A pipe that took a file's place must not be waited for; a symlink that did is not followed. */
const READ = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);

/** Copies a file or directory of the host to the guest; see {@link GuestFiles.upload}. */
export async function upload(
  session: AgentSession,
  from: string,
  to: string,
  options: TransferOptions & { mode?: number | undefined },
  deadline: Deadline,
): Promise<TransferResult> {
  guestPath(to);
  checkHostPath(from);
  const path = resolve(from);
  const what = `uploading '${escapeTerminal(from, 300)}'`;
  try {
    const stats = await stat(path, { bigint: true });
    if (stats.isDirectory())
      return await new TreeUpload(what, path, options).run(session, to, stats, deadline);
    if (stats.isFile()) return await uploadFile(session, what, path, to, stats, options, deadline);
  } catch (error) {
    throw hostError(error, what, path);
  }
  throw new SmolVMError("FILE_TYPE", `${what} failed: it is neither a file nor a directory`);
}

/** Seconds and nanoseconds since 1970; what is older counts as 1970. */
function mtime(stats: BigIntStats): { mtimeS: number; mtimeNs: number } {
  if (stats.mtimeNs < 0n) return { mtimeS: 0, mtimeNs: 0 };
  return { mtimeS: Number(stats.mtimeNs / 1_000_000_000n), mtimeNs: Number(stats.mtimeNs % 1_000_000_000n) };
}

async function uploadFile(
  session: AgentSession,
  what: string,
  path: string,
  to: string,
  stats: BigIntStats,
  options: TransferOptions & { mode?: number | undefined },
  deadline: Deadline,
): Promise<TransferResult> {
  const handle = await open(path, "r");
  const fileWrite = {
    path: guestPath(to),
    mode: exactMode(options.mode ?? hostMode(stats.mode)),
    parents: options.parents ?? false,
    user: guestUser(options.user),
    ...mtime(stats),
  };
  const outflow = new Outflow(
    session,
    { open: { fileWrite }, what, effects: true, context: "file" },
    deadline,
  );
  try {
    let bytes = 0;
    await readAll(handle, async (piece) => {
      await outflow.send([piece]);
      bytes += piece.length;
      options.onProgress?.({ bytes, entries: 0 });
      return !outflow.over;
    });
    await outflow.end();
    return { entries: 1, bytes, skipped: [] };
  } catch (error) {
    outflow.cancel(error);
    throw error;
  } finally {
    await handle.close();
  }
}

/**
 * Reads a file to its end with two buffers, one being read into while the other is sent.
 *
 * @param send resolves when its piece's memory is free again, to false when no more is wanted
 */
async function readAll(handle: FileHandle, send: (piece: Buffer) => Promise<boolean>): Promise<void> {
  const buffers = [Buffer.allocUnsafeSlow(READ_BYTES), Buffer.allocUnsafeSlow(READ_BYTES)];
  const free: Promise<boolean>[] = [Promise.resolve(true), Promise.resolve(true)];
  for (let turn = 0; ; turn = 1 - turn) {
    if (!(await free[turn]!)) return;
    const { bytesRead } = await handle.read(buffers[turn]!, 0, READ_BYTES);
    if (bytesRead === 0) break;
    free[turn] = send(buffers[turn]!.subarray(0, bytesRead));
    free[turn]!.catch(() => {}); // looked at one turn later
  }
  await Promise.all(free);
}

/** One entry of a directory, looked at and, if it is small, read. */
interface Looked {
  readonly stats: BigIntStats;
  readonly target: Buffer | undefined;
  readonly content: Buffer | undefined;
}

class TreeUpload {
  readonly #what: string;
  readonly #root: Buffer;
  readonly #options: TransferOptions;
  readonly #skipped: SkippedEntry[] = [];
  readonly #slice = new TimeSlice();
  #sender!: TreeSender;
  #outflow!: Outflow;

  constructor(what: string, root: string, options: TransferOptions) {
    this.#what = what;
    this.#root = Buffer.from(root);
    this.#options = options;
  }

  async run(
    session: AgentSession,
    to: string,
    stats: BigIntStats,
    deadline: Deadline,
  ): Promise<TransferResult> {
    const treeWrite = { path: guestPath(to), user: guestUser(this.#options.user) };
    const request = { open: { treeWrite }, what: this.#what, effects: true, context: "file" } as const;
    this.#outflow = new Outflow(session, request, deadline);
    this.#sender = new TreeSender(this.#outflow);
    try {
      const mode = exactMode(hostMode(stats.mode));
      await this.#sender.entry({ type: FileType.directory, mode, ...mtime(stats) });
      await this.#directory(this.#root, Buffer.alloc(0));
      await this.#sender.flush();
      await this.#outflow.end();
      return { entries: this.#sender.entries, bytes: this.#sender.bytes, skipped: this.#skipped };
    } catch (error) {
      this.#outflow.cancel(error);
      throw error;
    }
  }

  async #directory(path: Buffer, relative: Buffer): Promise<void> {
    // Not readdir: a directory of millions would have to fit in memory.
    const directory = opendirSync(path as unknown as string, OPENDIR);
    try {
      for (let found = directory.readSync(); found !== null; found = directory.readSync()) {
        const name = found.name as unknown as Buffer;
        const host = join(path, name);
        const entry = look(host);
        if (entry === undefined) continue;
        await this.#send(host, relative.length === 0 ? name : join(relative, name), entry);
        if (this.#outflow.over) return; // the guest has said why
        const pause = this.#slice.breathe();
        if (pause !== undefined) await pause;
      }
    } finally {
      directory.closeSync();
    }
    this.#options.onProgress?.({ bytes: this.#sender.bytes, entries: this.#sender.entries });
  }

  async #send(host: Buffer, path: Buffer, { stats, target, content }: Looked): Promise<void> {
    const info = { path, mode: exactMode(hostMode(stats.mode)), ...mtime(stats) };
    if (stats.isDirectory()) {
      this.#sender.entries++;
      await this.#sender.entry({ ...info, type: FileType.directory });
      await this.#directory(host, path);
    } else if (target !== undefined) {
      this.#sender.entries++;
      await this.#sender.entry({ ...info, type: FileType.symlink, target });
    } else if (stats.isFile()) {
      this.#sender.entries++;
      await this.#sender.entry({ ...info, type: FileType.file, size: Number(stats.size) });
      if (content !== undefined) await this.#sender.data(content);
      else await this.#large(host);
      await this.#sender.end();
    } else if (this.#skipped.length < MAX_SKIPPED) {
      this.#skipped.push({ path: path.toString("utf8"), reason: "a device, pipe or socket" });
    }
  }

  async #large(path: Buffer): Promise<void> {
    const handle = await open(path, READ);
    try {
      await readAll(handle, async (piece) => {
        await this.#sender.data(piece);
        this.#options.onProgress?.({ bytes: this.#sender.bytes, entries: this.#sender.entries });
        return !this.#outflow.over;
      });
    } finally {
      await handle.close();
    }
  }
}

const SLASH = Buffer.from("/");

function join(directory: Buffer, name: Buffer): Buffer {
  return Buffer.concat([directory, SLASH, name]);
}

/** What is at a path of the host; undefined if it was removed in the meantime. */
function look(path: Buffer): Looked | undefined {
  try {
    const stats = lstatSync(path, { bigint: true });
    const target = stats.isSymbolicLink()
      ? hostLinkTarget(readlinkSync(path, { encoding: "buffer" }))
      : undefined;
    const small = stats.isFile() && stats.size <= SMALL_BYTES;
    return { stats, target, content: small ? readSmall(path, Number(stats.size)) : undefined };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** The content of a file that was `size` bytes long a moment ago; if it grew, the first `size` bytes. */
function readSmall(path: Buffer, size: number): Buffer {
  const fd = openSync(path, READ);
  try {
    const content = Buffer.allocUnsafe(size);
    let at = 0;
    while (at < size) {
      const bytes = readSync(fd, content, at, size - at, null);
      if (bytes === 0) break;
      at += bytes;
    }
    return content.subarray(0, at);
  } finally {
    closeSync(fd);
  }
}
