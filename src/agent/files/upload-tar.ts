import type { Readable } from "node:stream";
import { isSmolVMError, SmolVMError } from "../../errors.ts";
import { bytesOf, kindOf } from "../../util/bytes.ts";
import type { Deadline } from "../../util/deadline.ts";
import { isReadable } from "../../util/is-readable.ts";
import { type TarEntry, TarReader, type TarStep } from "../../util/tar/reader.ts";
import type { AgentSession } from "../session/session.ts";
import type { Bytes } from "../types.ts";
import { FileType, GuestErrorCode } from "../wire/messages.ts";
import { archivePath, refusedEntry } from "./archive-entry.ts";
import { guestPath, guestUser, showPath } from "./guest-path.ts";
import type { SkippedEntry } from "./host-tree.ts";
import { Outflow } from "./outflow.ts";
import { exactMode, TreeSender } from "./tree-sender.ts";
import type { FileOptions, TransferProgress, TransferResult } from "./types.ts";

/** An archive: a Readable, which is destroyed in the end, or anything else that gives its bytes. */
export type ArchiveSource = Readable | AsyncIterable<Bytes>;

/** Options of `uploadTar`. */
export interface UploadTarOptions extends FileOptions {
  /** files belong to whom the archive says, by number, and have the extended attributes that it says; default false: to `user`, without */
  keepOwner?: boolean | undefined;
  /** told after each piece of the archive */
  onProgress?: ((progress: TransferProgress) => void) | undefined;
}

const MAX_SKIPPED = 1000;
/** What may follow an archive's end (tar fills up its last record), in bytes; more is not waited for. */
const MAX_REST = 1024 * 1024;

/** Unpacks a tar archive in the guest; see {@link GuestFiles.uploadTar}. */
export async function uploadTar(
  session: AgentSession,
  archive: ArchiveSource,
  to: string,
  options: UploadTarOptions,
  deadline: Deadline,
): Promise<TransferResult> {
  const what = `unpacking an archive to ${showPath(to)}`;
  const treeWrite = { path: guestPath(to), user: guestUser(options.user), keepOwner: options.keepOwner };
  const request = { open: { treeWrite }, what, effects: true, context: "file" } as const;
  const outflow = new Outflow(session, request, deadline);
  const unpacking = new Unpacking(new TreeSender(outflow), options.keepOwner === true);
  const iterator = archive[Symbol.asyncIterator]();
  try {
    await unpacking.begin();
    const reader = new TarReader({ sparse: true });
    let rest = 0;
    for (;;) {
      const chunk = await nextChunk(iterator, outflow, what);
      if (chunk === undefined) break;
      for (const step of reader.push(chunk)) await unpacking.take(step);
      if (reader.over) rest += chunk.length;
      if (rest > MAX_REST) break;
      options.onProgress?.(unpacking.progress);
    }
    reader.finish();
    await unpacking.finish();
    await outflow.end();
    return { ...unpacking.progress, skipped: unpacking.skipped };
  } catch (error) {
    outflow.cancel(error);
    throw unpacking.sentLinks ? tooOldForLinks(error) : error;
  } finally {
    // Whoever still writes is told that nobody reads. An iterator that waits for a stream ends only with the stream.
    if (isReadable(archive)) archive.destroy();
    else void Promise.resolve(iterator.return?.()).catch(() => {});
  }
}

/** The next piece of the archive; undefined at its end. Fails at once when the guest has ended the request. */
function nextChunk(
  iterator: AsyncIterator<Bytes>,
  outflow: Outflow,
  what: string,
): Promise<Buffer | undefined> {
  if (outflow.over) return outflow.result.then(() => undefined);
  return new Promise((resolve, reject) => {
    outflow.onFailure = reject;
    iterator.next().then(
      ({ done, value }) => {
        const bytes = bytesOf(value);
        if (done) resolve(undefined);
        else if (bytes !== undefined) resolve(bytes);
        else reject(new SmolVMError("HOST_FAILED", `${what} failed: the archive gave ${kindOf(value)}`));
      },
      (cause: Error) => {
        const message = `${what} failed: the archive could not be read: ${cause.message}`;
        reject(isSmolVMError(cause) ? cause : new SmolVMError("HOST_FAILED", message, { cause }));
      },
    );
  });
}

/** An agent that knows no links in trees takes one for a broken rule. */
function tooOldForLinks(error: unknown): unknown {
  if (!isSmolVMError(error) || error.details.guestCode !== GuestErrorCode.INVALID) return error;
  return new SmolVMError(
    "NOT_SUPPORTED",
    "the sandbox's agent is older than this smolvm and makes no hard links",
    {
      hint: "Create the sandbox again, or make the archive with tar's --hard-dereference.",
      details: error.details,
      cause: error,
    },
  );
}

/** Of all of a file's attributes, in bytes: what a record of PROTOCOL.md holds beside names. */
const MAX_ATTRIBUTES = 48 * 1024;

/** What of an entry's extended attributes is given to a file: not what overlayfs notes for itself on the machine that the archive is of. */
function attributesOf(
  path: Uint8Array,
  xattrs: ReadonlyMap<string, Uint8Array> | undefined,
): ReadonlyMap<string, Uint8Array> | undefined {
  if (xattrs === undefined) return undefined;
  const kept = new Map([...xattrs].filter(([name]) => !/^(?:trusted|user)\.overlay\./.test(name)));
  let bytes = 0;
  for (const [name, value] of kept) {
    if (name.length > 255 || name.includes("\0"))
      throw refusedEntry(path, "has an attribute without a name that can be");
    bytes += name.length + value.length + 16;
  }
  if (bytes > MAX_ATTRIBUTES) throw refusedEntry(path, "has extended attributes of more than 48 KiB");
  return kept;
}

/** Turns the steps through an archive into a tree's records. */
class Unpacking {
  readonly #sender: TreeSender;
  readonly #keepAttributes: boolean;
  readonly skipped: SkippedEntry[] = [];
  sentLinks = false;
  #inFile = false;
  /** the directories from the root down to where the last entry went: they have been sent */
  #chain: string[] = [];

  constructor(sender: TreeSender, keepAttributes: boolean) {
    this.#sender = sender;
    this.#keepAttributes = keepAttributes;
  }

  get progress(): TransferProgress {
    return { bytes: this.#sender.bytes, entries: this.#sender.entries };
  }

  /** The directory itself keeps its mode and time: it is the user's, or fresh. */
  async begin(): Promise<void> {
    await this.#sender.entry({ type: FileType.directory });
    await this.#sender.flush(); // a target that cannot be is told before the archive comes
  }

  finish(): Promise<void> {
    return this.#sender.flush();
  }

  async take(step: TarStep): Promise<void> {
    if (step.step === "entry") await this.#entry(step.entry);
    else if (!this.#inFile)
      return; // of an entry that was left out
    else if (step.step === "data") await this.#sender.data(step.data);
    else await this.#sender.end();
  }

  async #entry({
    kind,
    path: given,
    target,
    mode,
    size,
    mtimeS,
    mtimeNs,
    uid,
    gid,
    xattrs,
  }: TarEntry): Promise<void> {
    this.#inFile = false;
    const path = archivePath(given);
    if (path.length === 0) {
      if (kind === "directory") return;
      throw refusedEntry(given, "has no name");
    }
    if (kind === "other") {
      if (this.skipped.length < MAX_SKIPPED)
        this.skipped.push({ path: path.toString("utf8"), reason: "a device or pipe" });
      return;
    }
    await this.#enter(path, kind === "directory");
    this.#sender.entries++;
    const info = { path, mode: exactMode(mode), mtimeS, mtimeNs, uid, gid };
    const attributes = this.#keepAttributes ? attributesOf(given, xattrs) : undefined;
    switch (kind) {
      case "file":
        this.#inFile = true;
        await this.#sender.entry({ ...info, type: FileType.file, size }, attributes);
        return;
      case "directory":
        await this.#sender.entry({ ...info, type: FileType.directory }, attributes);
        return;
      case "symlink":
        if (target.length === 0 || target.length > 4096 || target.includes(0))
          throw refusedEntry(given, "is a symlink to nothing, or with a target that is too long");
        await this.#sender.entry({ ...info, type: FileType.symlink, target });
        return;
      case "link": {
        const to = archivePath(target);
        if (to.length === 0) throw refusedEntry(given, "is a link to the directory itself");
        if (to.equals(path)) return; // itself, by another spelling
        this.sentLinks = true;
        await this.#sender.entry({ path, type: FileType.hardLink, target: to });
      }
    }
  }

  /** Sends the directories above an entry that the archive has not just named: some archives leave them out. */
  async #enter(path: Buffer, isDirectory: boolean): Promise<void> {
    const names = path.toString("latin1").split("/");
    const above = names.slice(0, -1);
    let known = 0;
    while (known < above.length && this.#chain[known] === above[known]) known++;
    for (let length = known + 1; length <= above.length; length++) {
      const directory = Buffer.from(above.slice(0, length).join("/"), "latin1");
      await this.#sender.entry({ path: directory, type: FileType.directory });
    }
    this.#chain = isDirectory ? names : above;
  }
}
