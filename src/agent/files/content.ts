import { Readable, Writable } from "node:stream";
import { types } from "node:util";
import { SmolVMError } from "../../errors.ts";
import { contentOf, kindOf } from "../../util/bytes.ts";
import type { Deadline } from "../../util/deadline.ts";
import { messageOf } from "../../util/message-of.ts";
import { Inflow } from "../session/inflow.ts";
import type { AgentSession } from "../session/session.ts";
import type { StdinSource } from "../types.ts";
import { GuestErrorCode, type Result } from "../wire/messages.ts";
import { fileInfo } from "./file-info.ts";
import { guestPath, guestUser, showPath } from "./guest-path.ts";
import { Outflow } from "./outflow.ts";
import type { FileOptions, GuestFileInfo } from "./types.ts";

/** Most bytes that `read` puts together in memory, unless told otherwise. */
const DEFAULT_MAX_READ_BYTES: number = 256 * 1024 * 1024;

/** Which part of a file is read. */
export interface ReadOptions extends FileOptions {
  /** first byte; default 0 */
  offset?: number | undefined;
  /** bytes to read; default to the end */
  length?: number | undefined;
}

/** Options of `read`. */
export interface ReadWholeOptions extends ReadOptions {
  /** FILE_FAILED beyond this; default 256 MiB */
  maxBytes?: number | undefined;
}

/** How a file is written. */
export interface WriteOptions extends FileOptions {
  /** permission bits; default those of the file that is replaced, else 0o644 less the umask */
  mode?: number | undefined;
  /** modification time; default now */
  mtime?: Date | undefined;
  /** make the directories above it that are missing. Default false */
  parents?: boolean | undefined;
  /** FILE_EXISTS if there is a file. Default false */
  exclusive?: boolean | undefined;
  /**
   * the {@link GuestFileInfo.version} that the file had when its content was read: another one, or no file, is FILE_CHANGED and nothing is
   * written. Looked at in the guest right before the file is replaced, one writer after the other; not with `exclusive` or `append`
   */
  ifVersion?: string | undefined;
  /** add to the end of the file, in place, instead of replacing it as a whole. Default false */
  append?: boolean | undefined;
}

/** What `write` takes. An iterable or Readable is read no faster than the guest writes. */
export type Content = StdinSource;

function count(value: number | undefined, name: string): number | undefined {
  if (value !== undefined && !(Number.isSafeInteger(value) && value >= 0)) {
    throw new SmolVMError("CONFIG_INVALID", `${name} ${value} is not a number of bytes`);
  }
  return value;
}

function openRead(session: AgentSession, path: string, options: ReadOptions, deadline: Deadline): Inflow {
  const fileRead = {
    path: guestPath(path),
    user: guestUser(options.user),
    offset: count(options.offset, "offset"),
    length: count(options.length, "length"),
  };
  const what = `reading ${showPath(path)}`;
  const inflow = new Inflow(
    session,
    { open: { fileRead }, what, effects: false, context: "file" },
    deadline,
    false,
  );
  inflow.result.catch(() => {}); // taking throws it
  return inflow;
}

export async function readContent(
  session: AgentSession,
  path: string,
  options: ReadWholeOptions,
  deadline: Deadline,
): Promise<Buffer> {
  const maxBytes = count(options.maxBytes, "maxBytes") ?? DEFAULT_MAX_READ_BYTES;
  if (options.length === 0) return Buffer.alloc(0); // 0 means "to the end" to the guest
  const inflow = openRead(session, path, options, deadline);
  const pieces: Buffer[] = [];
  let bytes = 0;
  for (let some = await inflow.takeAll(); some !== undefined; some = await inflow.takeAll()) {
    for (const piece of some) bytes += piece.length;
    pieces.push(...some);
    if (bytes <= maxBytes) continue;
    const error = new SmolVMError("FILE_FAILED", `${showPath(path)} holds more than ${maxBytes} bytes`, {
      hint: "Raise maxBytes, or use readStream or download.",
      details: { maxBytes },
    });
    inflow.cancel(error);
    throw error;
  }
  return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces, bytes);
}

export async function readStream(
  session: AgentSession,
  path: string,
  options: ReadOptions,
  deadline: Deadline,
): Promise<Readable> {
  if (options.length === 0) return Readable.from([]);
  const inflow = openRead(session, path, options, deadline);
  await inflow.opened;
  return new Readable({
    highWaterMark: 256 * 1024,
    read() {
      inflow.take().then(
        (piece) => this.push(piece ?? null),
        (error: Error) => this.destroy(error),
      );
    },
    destroy(error, callback) {
      inflow.cancel(error ?? new SmolVMError("ABORTED", `reading ${showPath(path)} was given up`));
      callback(error);
    },
  });
}

function openWrite(session: AgentSession, path: string, options: WriteOptions, deadline: Deadline): Outflow {
  const { mode, mtime } = options;
  if (mode !== undefined && !(Number.isInteger(mode) && mode > 0 && mode <= 0o7777)) {
    throw new SmolVMError("CONFIG_INVALID", `mode ${mode} is not a number from 0o1 to 0o7777`);
  }
  if (mtime !== undefined && !(types.isDate(mtime) && Number.isFinite(mtime.getTime())))
    throw new SmolVMError("CONFIG_INVALID", "mtime: is not a valid Date", { details: { option: "mtime" } });
  const mtimeMs = Math.max(0, mtime?.getTime() ?? 0);
  const fileWrite = {
    path: guestPath(path),
    user: guestUser(options.user),
    mode,
    mtimeS: Math.floor(mtimeMs / 1000),
    mtimeNs: Math.floor(mtimeMs % 1000) * 1_000_000,
    parents: options.parents ?? false,
    exclusive: options.exclusive ?? false,
    append: options.append ?? false,
    ifVersion: version(options),
  };
  const what = `writing ${showPath(path)}`;
  const details = ({ error, file }: Result) =>
    error?.code === GuestErrorCode.CHANGED ? { current: file && fileInfo(file, path) } : {};
  return new Outflow(
    session,
    { open: { fileWrite }, what, effects: true, context: "file", details },
    deadline,
  );
}

function version({ ifVersion, exclusive, append }: WriteOptions): Uint8Array | undefined {
  if (ifVersion === undefined) return undefined;
  const fail = (problem: string, hint: string): SmolVMError =>
    new SmolVMError("CONFIG_INVALID", `ifVersion: ${problem}`, { hint, details: { option: "ifVersion" } });
  if (typeof ifVersion !== "string" || !/^(?:[0-9a-f]{2}){1,32}$/.test(ifVersion)) {
    const older =
      "One that is empty comes from an agent that is older than this smolvm: create the sandbox again.";
    throw fail("is not a version that stat, list or write gave", older);
  }
  if (exclusive === true || append === true) {
    throw fail(
      `makes no sense with ${exclusive === true ? "exclusive" : "append"}`,
      "Leave one of the two out: exclusive wants no file, ifVersion that one, and append takes any.",
    );
  }
  return Buffer.from(ifVersion, "hex");
}

/** Checked before anything is asked of the guest. @throws SmolVMError CONFIG_INVALID */
export function checkContent(content: unknown): void {
  if (contentOf(content) !== undefined) return;
  if (typeof content === "object" && content !== null) {
    if (Symbol.asyncIterator in content || Symbol.iterator in content) return;
  }
  throw new SmolVMError(
    "CONFIG_INVALID",
    "the content is neither a string, nor bytes, nor a stream or iterable of them",
  );
}

export async function writeContent(
  session: AgentSession,
  path: string,
  content: Content,
  options: WriteOptions,
  deadline: Deadline,
): Promise<GuestFileInfo> {
  const outflow = openWrite(session, path, options, deadline);
  const whole = contentOf(content);
  if (whole !== undefined) void outflow.send([whole]);
  else {
    try {
      for await (const piece of content as AsyncIterable<unknown>) {
        const chunk = contentOf(piece);
        if (chunk === undefined)
          throw new TypeError(`it gave ${kindOf(piece)}, which is neither bytes nor a string`);
        await outflow.send([chunk]);
        if (outflow.over) break; // the guest has said why
      }
    } catch (cause) {
      outflow.cancel(cause);
      throw new SmolVMError(
        "HOST_FAILED",
        `writing ${showPath(path)} failed: its content could not be read: ${messageOf(cause)}`,
        { hint: "Look at what the content comes from: it failed, and the file is as it was.", cause },
      );
    }
  }
  const { file } = await outflow.end();
  return fileInfo(file, path);
}

export async function writeStream(
  session: AgentSession,
  path: string,
  options: WriteOptions,
  deadline: Deadline,
): Promise<Writable> {
  const outflow = openWrite(session, path, options, deadline);
  await outflow.opened;
  const writable = new Writable({
    highWaterMark: 256 * 1024,
    write(chunk: Buffer, _encoding, callback) {
      outflow.send([chunk]).then(() => callback());
    },
    writev(chunks, callback) {
      outflow.send(chunks.map(({ chunk }) => chunk as Buffer)).then(() => callback());
    },
    final(callback) {
      outflow.end().then(() => callback(), callback);
    },
    destroy(error, callback) {
      outflow.cancel(error ?? new SmolVMError("ABORTED", `writing ${showPath(path)} was given up`));
      callback(error);
    },
  });
  outflow.result.catch((error: Error) => {
    if (!writable.destroyed) writable.destroy(error);
  });
  return writable;
}
