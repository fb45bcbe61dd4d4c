import type { Readable, Writable } from "node:stream";
import { isSmolVMError } from "../../errors.ts";
import { Deadline } from "../../util/deadline.ts";
import { type Call, call } from "../session/call.ts";
import type { AgentSession } from "../session/session.ts";
import { GuestErrorCode, type Result } from "../wire/messages.ts";
import { checkFileOptions } from "./check-options.ts";
import {
  type Content,
  checkContent,
  type ReadOptions,
  type ReadWholeOptions,
  readContent,
  readStream,
  type WriteOptions,
  writeContent,
  writeStream,
} from "./content.ts";
import type { DownloadOptions } from "./download.ts";
import type { DownloadTarOptions } from "./download-tar.ts";
import { fileInfo } from "./file-info.ts";
import { guestPath, guestUser, locate, type Place, showPath } from "./guest-path.ts";
import { checkDepth, type ListOptions, list } from "./list.ts";
import { olderAgent } from "./older-agent.ts";
import type {
  CopyOptions,
  CopyResult,
  FileOptions,
  GuestFileInfo,
  TransferOptions,
  TransferResult,
} from "./types.ts";
import type { ArchiveSource, UploadTarOptions } from "./upload-tar.ts";
import type { FileWatch, WatchOptions } from "./watch.ts";
import type { FileToWrite } from "./write-many.ts";

/**
 * The files of a sandbox. A path in the guest that is not absolute is one in the sandbox's `workdir`, where its commands run, too: without one in the home
 * directory of the call's `user`, else of the sandbox's, else root's. `~` means nothing: it is a name. Everything is streamed in constant memory unless
 * it says otherwise.
 *
 * Every method may throw SmolVMError: CONFIG_INVALID for a path, FILE_NOT_FOUND, FILE_EXISTS, FILE_TYPE, FILE_PERMISSION,
 * NO_SPACE (the message says whether the sandbox's or this machine's disk is full), FILE_FAILED; TIMEOUT and ABORTED by its
 * limits; AGENT_LOST, OUTCOME_UNKNOWN (changes only) and AGENT_PROTOCOL when the channel ends.
 *
 * `details.errno` of such an error names what the kernel said ("EISDIR", {@link Errno}), `details.side` whose kernel: "guest" or "host". Every method
 * that looks a path up may have ENOENT (there is nothing), ENOTDIR (something on the way is no directory), EACCES, ELOOP and ENAMETOOLONG; every
 * one that writes ENOSPC, EROFS and EPERM. What is a method's own is said with it.
 */
export class GuestFiles {
  readonly #session: (deadline: Deadline) => Promise<AgentSession>;
  readonly #place: () => Place;

  /**
   * @internal
   * @param session gives the session to the guest's agent, within the deadline
   * @param place where relative paths are; asked when there is a session
   */
  constructor(session: (deadline: Deadline) => Promise<AgentSession>, place: () => Place = () => ({})) {
    this.#session = session;
    this.#place = place;
  }

  /** Where a path is in the guest. */
  #at(path: string, { user }: FileOptions): string {
    return path.startsWith("/") ? path : locate(path, this.#place(), user);
  }

  /** The content of a file, or a part of it, in memory. `errno`: EISDIR of a directory. @throws SmolVMError FILE_FAILED beyond `maxBytes` (default 256 MiB) */
  async read(path: string, options: ReadWholeOptions = {}): Promise<Buffer> {
    checkFileOptions("read", options);
    guestPath(path);
    const deadline = Deadline.of(`reading ${showPath(path)}`, options);
    const session = await this.#session(deadline);
    return readContent(session, this.#at(path, options), options, deadline);
  }

  /** The content of a file as text; bytes that are not UTF-8 become U+FFFD. As {@link read} */
  async readText(path: string, options: ReadWholeOptions = {}): Promise<string> {
    return (await this.read(path, options)).toString("utf8");
  }

  /** The content of a file as a stream, once the guest has opened it. Destroying it stops the transfer. */
  async readStream(path: string, options: ReadOptions = {}): Promise<Readable> {
    checkFileOptions("readStream", options);
    guestPath(path);
    const deadline = Deadline.of(`reading ${showPath(path)}`, options);
    const session = await this.#session(deadline);
    return readStream(session, this.#at(path, options), options, deadline);
  }

  /**
   * Writes a file: all of it, or (whatever fails) none of it, the old content staying as it was; unless `append` is set. A
   * symlink is followed; a file that is replaced keeps its mode and owner. `errno`: EISDIR of a directory, EEXIST with `exclusive`, ENOENT
   * where the directory is missing (`parents` makes it), ETXTBSY with `append` to a program that runs.
   *
   * To change a file that others may change, too, so that nobody's change is lost:
   *
   *     const { version } = await vm.files.stat(path);
   *     const text = edit(await vm.files.readText(path));
   *     await vm.files.write(path, text, { ifVersion: version }); // FILE_CHANGED: begin again
   *
   * @returns the file as it was written
   * @throws SmolVMError FILE_CHANGED with `ifVersion`: `details.current` is what is there now, undefined if nothing is
   */
  async write(path: string, content: Content, options: WriteOptions = {}): Promise<GuestFileInfo> {
    checkFileOptions("write", options);
    guestPath(path);
    checkContent(content);
    const deadline = Deadline.of(`writing ${showPath(path)}`, options);
    const session = await this.#session(deadline);
    return writeContent(session, this.#at(path, options), content, options, deadline);
  }

  /** As {@link write}, from a stream: the file is in place when it has finished. Destroying it leaves the old file. */
  async writeStream(path: string, options: WriteOptions = {}): Promise<Writable> {
    checkFileOptions("writeStream", options);
    guestPath(path);
    const deadline = Deadline.of(`writing ${showPath(path)}`, options);
    const session = await this.#session(deadline);
    return writeStream(session, this.#at(path, options), options, deadline);
  }

  /**
   * Writes many files in one request, in one round trip if they are small: each appears whole, as by {@link write}, and the directories above them that
   * are missing are made. What was written before a failure stays. Symlinks are followed to the deepest directory that has them all, but neither
   * below it nor at a file's own path, which is replaced. `errno`: ENOTDIR or ELOOP where a directory on the way is a file or symlink, EISDIR of a directory.
   *
   *     await vm.files.writeMany([
   *       { path: "src/main.py", content: "print(1)" },
   *       { path: "run.sh", content: script, mode: 0o755 },
   *     ]);
   *
   * There is no readMany: `Promise.all(paths.map((path) => vm.files.read(path)))` shares one session, and its requests are under way together; which
   * of them failed is then known for each.
   *
   * @throws SmolVMError CONFIG_INVALID for a path that has `..` in it, is a directory or comes twice
   */
  async writeMany(files: readonly FileToWrite[], options: FileOptions = {}): Promise<void> {
    checkFileOptions("writeMany", options);
    const { checkFilesToWrite, writeMany } = await import("./write-many.ts");
    checkFilesToWrite(files);
    const deadline = Deadline.of(`writing ${files.length} files`, options);
    if (files.length === 0) return;
    const session = await this.#session(deadline);
    return writeMany(session, files, (path) => this.#at(path, options), options, deadline);
  }

  /**
   * What is in a directory, sorted by name; symlinks are not followed. With `depth` also what is in the directories below, each after its
   * directory; at most 1,000,000 entries. `errno`: ENOTDIR of what is no directory.
   *
   * @throws SmolVMError FILE_UNSAFE for names that no directory can hold; NOT_SUPPORTED of a depth by the agent of an older sandbox
   */
  async list(path: string, options: ListOptions = {}): Promise<GuestFileInfo[]> {
    checkFileOptions("list", options);
    checkDepth(options.depth);
    guestPath(path);
    const deadline = Deadline.of(`listing ${showPath(path)}`, options);
    const session = await this.#session(deadline);
    return list(session, this.#at(path, options), options, deadline);
  }

  /** What is at a path. @param options `follow` (default true): of a symlink, what it leads to */
  async stat(
    path: string,
    options: FileOptions & { follow?: boolean | undefined } = {},
  ): Promise<GuestFileInfo> {
    checkFileOptions("stat", options);
    const { follow = true } = options;
    const what = `looking at ${showPath(path)}`;
    const { result, at } = await this.#call(what, path, options, false, (path, user) => ({
      stat: { path, user, follow },
    }));
    return fileInfo(result.file, at);
  }

  /** Whether there is something at a path; a symlink to nothing is nothing. */
  async exists(path: string, options: FileOptions = {}): Promise<boolean> {
    checkFileOptions("exists", options);
    try {
      await this.stat(path, options);
      return true;
    } catch (error) {
      if (isSmolVMError(error, "FILE_NOT_FOUND")) return false;
      if (isSmolVMError(error) && error.details.guestCode === GuestErrorCode.NOT_DIRECTORY) return false;
      throw error;
    }
  }

  /** Makes a directory. `errno`: EEXIST if there is anything, with `parents` only if that is no directory. @param options `parents`: also those above it, and it is fine if it exists; `mode`: default 0o755 less the umask */
  async mkdir(
    path: string,
    options: FileOptions & { parents?: boolean | undefined; mode?: number | undefined } = {},
  ): Promise<void> {
    checkFileOptions("mkdir", options);
    const { parents = false, mode } = options;
    const what = `making the directory ${showPath(path)}`;
    await this.#call(what, path, options, true, (path, user) => ({ mkdir: { path, user, parents, mode } }));
  }

  /**
   * Removes a file or symlink, an empty directory, or with `recursive` a directory and all in it. `errno`: ENOTEMPTY of a directory that is not empty,
   * EBUSY of one on which something is mounted.
   *
   * @param options `force`: it is fine if there is nothing
   */
  async remove(
    path: string,
    options: FileOptions & { recursive?: boolean | undefined; force?: boolean | undefined } = {},
  ): Promise<void> {
    checkFileOptions("remove", options);
    const { recursive = false, force = false } = options;
    await this.#call(`removing ${showPath(path)}`, path, options, true, (path, user) => ({
      remove: { path, user, recursive, force },
    }));
  }

  /**
   * Gives a file or directory another path in the same file system. `errno`: EXDEV between two, EEXIST without `replace`, ENOTEMPTY onto a directory
   * that is not empty, EISDIR of a file onto a directory, ENOTDIR the other way, EINVAL of a directory into itself.
   *
   * @param options `replace` (default true): a file or empty directory that is there goes
   */
  async rename(
    from: string,
    to: string,
    options: FileOptions & { replace?: boolean | undefined } = {},
  ): Promise<void> {
    checkFileOptions("rename", options);
    const { replace = true } = options;
    guestPath(to);
    const what = `renaming ${showPath(from)} to ${showPath(to)}`;
    await this.#call(what, from, options, true, (from, user) => ({
      rename: { from, to: guestPath(this.#at(to, options)), user, replace },
    }));
  }

  /**
   * Copies a file or, with `recursive`, a directory in the guest to exactly the path `to`, with modes (but never set-user-id and the like) and
   * times; no byte of it comes here. File systems that can share content do (reflinks), and holes stay holes. `from` and `to` may be symlinks, which are followed;
   * those inside are copied as they are, hard links become files of their own, devices, pipes and sockets are left out. The copy belongs to `user`. A file
   * appears whole; of a directory what was copied before a failure stays. `errno`: EISDIR of a directory without `recursive`, or of a file onto one;
   * ENOTDIR of a directory onto a file; EEXIST without `overwrite`; EINVAL (CONFIG_INVALID) of a directory into itself, of a file onto itself, and of devices,
   * pipes and sockets.
   *
   * @throws SmolVMError NOT_SUPPORTED by the agent of an older sandbox
   */
  async copy(from: string, to: string, options: CopyOptions = {}): Promise<CopyResult> {
    checkFileOptions("copy", options);
    const { recursive = false, overwrite = true, parents = false } = options;
    guestPath(to);
    const what = `copying ${showPath(from)} to ${showPath(to)}`;
    try {
      const { result } = await this.#call(what, from, options, true, (from, user) => ({
        fileCopy: {
          ...{ from, to: guestPath(this.#at(to, options)), user },
          ...{ replace: overwrite, recursive, parents },
        },
      }));
      const { entries, bytes, skipped } = result;
      return { entries, bytes, skipped };
    } catch (error) {
      if (isSmolVMError(error, "NOT_SUPPORTED")) throw olderAgent(what, error.details);
      throw error;
    }
  }

  /**
   * Copies a file or directory of this machine to exactly the path `to` in the guest, with modes and times. A file is written
   * as by {@link write}; a directory's content is added to what is there. Symlinks inside are copied as they are; devices, pipes
   * and sockets are left out. The content belongs to `user`. `errno` of the guest: EISDIR of a file onto a directory (or EEXIST), ENOTDIR of a directory onto a file,
   * ENOENT where the directory above is missing (`parents` makes it); of the host: ENOENT if there is nothing to upload, EACCES.
   *
   * @param options `mode`: for a file, instead of its own
   */
  async upload(
    from: string,
    to: string,
    options: TransferOptions & { mode?: number | undefined } = {},
  ): Promise<TransferResult> {
    checkFileOptions("upload", options);
    guestPath(to);
    const deadline = Deadline.of(`uploading to ${showPath(to)}`, options);
    const { upload } = await import("./upload.ts"); // with what it loads, 2 ms that commands do not need
    const session = await this.#session(deadline);
    return upload(session, from, this.#at(to, options), options, deadline);
  }

  /**
   * Copies a file or directory of the guest to exactly the path `to` on this machine, with modes (but never set-user-id and the
   * like) and times; the content belongs to the user who runs this.
   *
   * The guest is not trusted: everything is checked, written to a fresh directory beside the target, and moved into place when
   * it is complete. A new directory appears at once; into one that exists the content is added, files replacing files. No
   * symlink below `to` is ever followed. Symlinks that lead out of the directory are left out, and named in the result; devices, pipes and sockets are left out, too. `errno` of the host: EISDIR of a file onto a
   * directory, ENOTDIR of a directory onto a file, ENOENT where the directory above is missing (`parents` makes it); of the guest: ENOENT, EACCES.
   *
   * @param options `maxEntries` (default 1,000,000) and `maxBytes` (default none) limit what is accepted
   * @throws SmolVMError FILE_UNSAFE when the guest sends what no honest one would, or more than the limits: then nothing has changed
   */
  async download(from: string, to: string, options: DownloadOptions = {}): Promise<TransferResult> {
    checkFileOptions("download", options);
    guestPath(from);
    const deadline = Deadline.of(`downloading ${showPath(from)}`, options);
    const { download } = await import("./download.ts");
    const session = await this.#session(deadline);
    return download(session, this.#at(from, options), to, options, deadline);
  }

  /**
   * Unpacks a tar archive into a directory of the guest, made if it is absent: modes, times, symlinks and hard links as they are in it,
   * owners not: everything belongs to `user`. `errno`: ENOTDIR, EISDIR or EEXIST where the archive has something else than is there. The directory itself keeps its mode and time; devices and pipes are left out. Pax, GNU
   * and older archives are read as they come, in constant memory; of sparse files the holes become zeros. What was unpacked before a failure stays.
   *
   * @param archive not compressed, e.g. `createReadStream("files.tar")`
   * @throws SmolVMError FILE_UNSAFE for an entry that leads out of the directory, FILE_FAILED for what is no tar archive or ends too early,
   *   HOST_FAILED when the archive cannot be read
   */
  async uploadTar(
    archive: ArchiveSource,
    to: string,
    options: UploadTarOptions = {},
  ): Promise<TransferResult> {
    checkFileOptions("uploadTar", options);
    guestPath(to);
    const deadline = Deadline.of(`unpacking an archive to ${showPath(to)}`, options);
    const { uploadTar } = await import("./upload-tar.ts");
    const session = await this.#session(deadline);
    return uploadTar(session, archive, this.#at(to, options), options, deadline);
  }

  /**
   * A file, or a directory with everything in it, as a tar archive (GNU's format), as it is read from the guest: modes (but never
   * set-user-id and the like), times to the second, owners as numbers. Symlinks that lead out of the directory are left out, as by
   * {@link download}; hard links are files. Destroying the stream stops the transfer. `errno`: ENOTDIR of a file by a path that ends in a slash or dot.
   *
   * @throws SmolVMError FILE_UNSAFE when the guest sends what no honest one would, or more than the limits: from the stream
   */
  async downloadTar(from: string, options: DownloadTarOptions = {}): Promise<Readable> {
    checkFileOptions("downloadTar", options);
    guestPath(from);
    const deadline = Deadline.of(`packing ${showPath(from)}`, options);
    const { downloadTar } = await import("./download-tar.ts");
    const session = await this.#session(deadline);
    return downloadTar(session, this.#at(from, options), options, deadline);
  }

  /**
   * Tells what happens to a file or in a directory of the guest, from when this resolves on:
   *
   *     for await (const { kind, path } of await vm.files.watch("/srv", { recursive: true })) ...
   *
   * A file that smolvm itself writes is one event. At most 64 watches at once in a sandbox, and 8,192 directories in one. What a program writes through a memory map is not seen.
   *
   * @throws SmolVMError FILE_NOT_FOUND; VM_BUSY beyond the limits, also from the loop; NOT_SUPPORTED by the agent of an older sandbox
   */
  async watch(path: string, options: WatchOptions = {}): Promise<FileWatch> {
    checkFileOptions("watch", options);
    guestPath(path);
    const deadline = Deadline.of(`watching ${showPath(path)}`, options);
    const { watch } = await import("./watch.ts");
    const session = await this.#session(deadline);
    return watch(session, this.#at(path, options), options, deadline);
  }

  /** Asks the guest about one path, which is checked first. @param open makes the request, when there is a session */
  async #call(
    what: string,
    path: string,
    options: FileOptions,
    effects: boolean,
    open: (path: Buffer, user: Buffer | undefined) => Call["open"],
  ): Promise<{ result: Result; at: string }> {
    guestPath(path);
    const user = guestUser(options.user);
    const deadline = Deadline.of(what, options);
    const session = await this.#session(deadline);
    const at = this.#at(path, options);
    const request = { open: open(guestPath(at), user), what, effects, context: "file" } as const;
    return { result: await call(session, request, deadline), at };
  }
}
