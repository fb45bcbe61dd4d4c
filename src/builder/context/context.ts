import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { lstat, readdir, readFile, readlink } from "node:fs/promises";
import { join } from "node:path";
import { SmolVMError } from "../../errors.ts";
import { clean, globPattern, type Ignored, readIgnore } from "../../images/dockerfile/ignore.ts";
import type { Deadline } from "../../util/deadline.ts";
import { hostLinkTarget, hostMode } from "../../util/host-files.ts";
import { encodeEntry, padding } from "../../util/tar/header.ts";
import { type Chmod, changed } from "../plan/chmod.ts";
import {
  type CopyFilter,
  directoriesAbove,
  hasPattern,
  leftOut,
  literalPart,
  pivotOf,
  WHOLE,
} from "../plan/selection.ts";

/** A file of a build's context. */
export interface ContextEntry {
  /** relative, with `/` */
  readonly path: string;
  readonly kind: "file" | "directory" | "symlink";
  readonly mode: number;
  /** in s since 1970 */
  readonly mtime: number;
  readonly size: number;
  readonly target: string;
}

/** What is copied: entries under the names that they get. */
export interface Selected {
  readonly name: string;
  readonly entry: ContextEntry;
}

export interface Selection {
  readonly files: Selected[];
  /** directories that stand above them in their names, and are made as they are here where they are missing */
  readonly above: Selected[];
  readonly isDirectory: boolean;
}

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

  /**
   * What a source of COPY names: a file, or what is in a directory; with `parents` both under their whole names.
   * @returns undefined: it names nothing
   */
  async select(source: string, filter: CopyFilter = WHOLE): Promise<Selection | undefined> {
    const entries = await this.entries();
    const isLeftOut = leftOut(filter);
    if (filter.parents) return withParents(entries, source, isLeftOut);
    const roots = followed(entries, clean(source));
    if (roots === "all") {
      const files = inside(entries, "").filter(({ name }) => !isLeftOut(name));
      return { files, above: [], isDirectory: true };
    }
    if (roots.length === 0) return undefined;
    const files = roots.flatMap(({ called, entry }): Selected[] =>
      entry.kind === "directory"
        ? inside(entries, entry.path)
        : [{ name: called.slice(called.lastIndexOf("/") + 1), entry }],
    );
    return {
      files: files.filter(({ name }) => !isLeftOut(name)),
      above: [],
      isDirectory: roots.length > 1 || roots[0]!.entry.kind === "directory",
    };
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

/** The entries that a path or pattern names. */
function named(entries: readonly ContextEntry[], wanted: string): readonly ContextEntry[] | "all" {
  if (wanted === "") return "all";
  const matches = hasPattern(wanted) ? globPattern(wanted, false) : undefined;
  return entries.filter(({ path }) => (matches === undefined ? path === wanted : matches.test(path)));
}

/** A source of COPY, and what it leads to. */
interface Root {
  /** as the source names it */
  readonly called: string;
  readonly entry: ContextEntry;
}

/**
 * The entries that a path or pattern names, or to which it leads through symlinks: those of a context never lead out of it, as of a root directory. One that leads nowhere stays what it is if it was matched by a
 * pattern, and names nothing by itself.
 */
function followed(entries: readonly ContextEntry[], wanted: string): readonly Root[] | "all" {
  const roots = named(entries, wanted);
  if (roots === "all") return "all";
  const byPath = new Map(entries.map((entry) => [entry.path, entry]));
  if (hasPattern(wanted))
    return roots.map((entry) => ({ called: entry.path, entry: leadsTo(byPath, entry.path) ?? entry }));
  const entry = leadsTo(byPath, wanted);
  return entry === undefined ? [] : [{ called: wanted, entry }];
}

const MAX_LINKS = 40;

/** Undefined: to nothing, the whole context, or round and round. */
function leadsTo(byPath: ReadonlyMap<string, ContextEntry>, path: string): ContextEntry | undefined {
  const todo = path.split("/").reverse();
  const at: string[] = [];
  for (let links = 0; todo.length > 0; ) {
    const part = todo.pop()!;
    if (part === "" || part === ".") continue;
    if (part === "..") {
      at.pop();
      continue;
    }
    const entry = byPath.get([...at, part].join("/"));
    if (entry === undefined) return undefined;
    if (entry.kind !== "symlink") {
      at.push(part);
      continue;
    }
    if (++links > MAX_LINKS) return undefined;
    if (entry.target.startsWith("/")) at.length = 0;
    todo.push(...entry.target.split("/").reverse());
  }
  return byPath.get(at.join("/"));
}

/** What is in a directory, under the names that it has there; of "" all. */
function inside(entries: readonly ContextEntry[], directory: string): Selected[] {
  const start = directory === "" ? "" : `${directory}/`;
  return entries
    .filter(({ path }) => path.startsWith(start))
    .map((entry) => ({ name: entry.path.slice(start.length), entry }));
}

/** What `COPY --parents` copies. */
function withParents(
  entries: readonly ContextEntry[],
  source: string,
  isLeftOut: Ignored,
): Selection | undefined {
  const { base, pattern } = pivotOf(source);
  const roots = named(entries, base);
  const bases =
    roots === "all" ? [""] : roots.filter(({ kind }) => kind === "directory").map(({ path }) => path);
  const matches = globPattern(pattern, true);
  const files: Selected[] = [];
  const above: Selected[] = [];
  let found = false;
  for (const each of bases) {
    const below = inside(entries, each);
    const wanted = below.filter(({ name }) => pattern === "" || matches.test(name));
    found ||= wanted.length > 0 || pattern === "";
    const kept = wanted.filter(({ name }) => !isLeftOut(name));
    const needed = new Set(kept.flatMap(({ name }) => directoriesAbove(name, false)));
    const certain = new Set(directoriesAbove(literalPart(pattern), hasPattern(pattern)));
    const chosen = new Set(kept.map(({ name }) => name));
    for (const one of below)
      if (chosen.has(one.name)) files.push(one);
      else if (needed.has(one.name)) (certain.has(one.name) ? above : files).push(one);
  }
  return found ? { files, above, isDirectory: true } : undefined;
}
