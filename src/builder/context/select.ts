import { clean, globPattern, type Ignored } from "../../images/dockerfile/ignore.ts";
import {
  type CopyFilter,
  directoriesAbove,
  hasPattern,
  leftOut,
  literalPart,
  pivotOf,
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

/**
 * What a source of COPY names: a file, or what is in a directory; with `parents` both under their whole names.
 * @returns undefined: it names nothing. Pure
 */
export function select(
  entries: readonly ContextEntry[],
  source: string,
  filter: CopyFilter,
): Selection | undefined {
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
