import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { lstat, readdir, readFile, readlink } from "node:fs/promises";
import { join } from "node:path";
import { SmolVMError } from "../../errors.ts";
import { type Ignored, readIgnore } from "../../images/dockerfile/ignore.ts";
import type { Deadline } from "../../util/deadline.ts";
import { hostLinkTarget, hostMode } from "../../util/host-files.ts";
import { encodeEntry, padding } from "../../util/tar/header.ts";
import { type Chmod, changed } from "../plan/chmod.ts";
import { type CopyFilter, WHOLE } from "../plan/selection.ts";
import { type ContextEntry, type Selected, type Selection, select } from "./select.ts";

/** The directory that a Dockerfile copies from, without what its .dockerignore leaves out. Files are read when they are needed. */
export class BuildContext {
  readonly directory: string;
  readonly #ignored: Ignored;
  readonly #keepsSome: boolean;
  #entries: readonly ContextEntry[] | undefined;

  private constructor(directory: string, ignore: string) {
    this.directory = directory;
    this.#ignored = readIgnore(ignore);
    this.#keepsSome = /^\s*!/m.test(ignore);
  }

  /**
   * @param dockerfile its path: an ignore file of its own (NAME.dockerignore) comes first
   * @throws SmolVMError FILE_NOT_FOUND, FILE_TYPE
   */
  static async open(directory: string, dockerfile: string): Promise<BuildContext> {
    const stats = await lstat(join(directory, ".")).catch((cause: unknown) => {
      throw new SmolVMError("FILE_NOT_FOUND", `there is no directory '${directory}'`, {
        hint: "Give the directory that the Dockerfile copies from: smolvm image build -t NAME DIRECTORY",
        cause,
      });
    });
    if (!stats.isDirectory()) {
      throw new SmolVMError("FILE_TYPE", `'${directory}' is no directory`, {
        hint: "Give the directory that the Dockerfile copies from, and another Dockerfile with -f.",
      });
    }
    for (const path of [`${dockerfile}.dockerignore`, join(directory, ".dockerignore")]) {
      const text = await readFile(path, "utf8").catch(() => undefined);
      if (text !== undefined) return new BuildContext(directory, text);
    }
    return new BuildContext(directory, "");
  }

  /** All of it, in the order of paths. */
  async entries(): Promise<readonly ContextEntry[]> {
    this.#entries ??= await this.#walk("");
    return this.#entries;
  }

  async #walk(below: string): Promise<ContextEntry[]> {
    const found: ContextEntry[] = [];
    for (const name of (await readdir(join(this.directory, below))).sort()) {
      const path = below === "" ? name : `${below}/${name}`;
      const ignored = this.#ignored(path);
      const file = join(this.directory, path);
      const stats = await lstat(file);
      if (ignored && !(stats.isDirectory() && this.#keepsSome)) continue;
      const kind = stats.isDirectory()
        ? "directory"
        : stats.isSymbolicLink()
          ? "symlink"
          : stats.isFile()
            ? "file"
            : undefined;
      if (kind === undefined) continue; // a device, fifo or socket: Docker sends none either
      const inside = kind === "directory" ? await this.#walk(path) : [];
      if (ignored && inside.length === 0) continue;
      found.push(
        {
          path,
          kind,
          mode: hostMode(stats.mode),
          mtime: Math.floor(stats.mtimeMs / 1000),
          size: kind === "file" ? stats.size : 0,
          target:
            kind === "symlink" ? hostLinkTarget(await readlink(file, { encoding: "buffer" })).toString() : "",
        },
        ...inside,
      );
    }
    return found;
  }

  /** What a source of COPY names. @returns undefined: nothing */
  async select(source: string, filter: CopyFilter = WHOLE): Promise<Selection | undefined> {
    return select(await this.entries(), source, filter);
  }

  /** What the content of a selection is, apart from times. */
  async digest(files: readonly Selected[], deadline: Deadline): Promise<string> {
    const hash = createHash("sha256");
    for (const { name, entry } of files) {
      deadline.check();
      const { kind, mode, size, target } = entry;
      hash.update(JSON.stringify([name, kind, kind === "symlink" ? 0 : mode, size, target]));
      if (kind === "file") for await (const chunk of this.#read(entry)) hash.update(chunk);
    }
    return hash.digest("hex");
  }

  #read({ path }: ContextEntry): AsyncIterable<Buffer> {
    return createReadStream(join(this.directory, path), { highWaterMark: 256 * 1024 });
  }

  /** A selection as a tar. */
  async *tar(
    files: readonly Selected[],
    { uid, gid, mode }: { readonly uid: number; readonly gid: number; readonly mode?: Chmod | undefined },
  ): AsyncGenerator<Buffer, void, undefined> {
    for (const { name, entry } of files) {
      const header = {
        name: Buffer.from(entry.kind === "directory" ? `${name}/` : name),
        mode: changed(mode, entry.mode, entry.kind === "directory"),
        uid,
        gid,
        size: entry.size,
        mtime: entry.mtime,
        type: { file: "0", directory: "5", symlink: "2" }[entry.kind],
        linkName: Buffer.from(entry.target),
      };
      yield encodeEntry(header);
      if (entry.kind !== "file") continue;
      let left = entry.size;
      for await (const chunk of this.#read(entry)) {
        const piece = chunk.subarray(0, left);
        left -= piece.length;
        if (piece.length > 0) yield piece;
      }
      if (left > 0) {
        throw new SmolVMError("HOST_FAILED", `'${entry.path}' became shorter while it was read`, {
          hint: "Build again when nothing writes to it.",
        });
      }
      yield Buffer.alloc(padding(entry.size));
    }
    yield Buffer.alloc(1024);
  }
}
