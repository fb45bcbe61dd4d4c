import { posix } from "node:path";
import type { DifferenceStep } from "../../agent/files/difference.ts";
import type { GuestFileInfo } from "../../agent/files/types.ts";
import { isSmolVMError } from "../../errors.ts";
import { globPattern } from "../../images/dockerfile/ignore.ts";
import type { SmolVM } from "../../smolvm.ts";
import type { Deadline } from "../../util/deadline.ts";
import {
  type CopyFilter,
  directoriesAbove,
  hasPattern,
  leftOut,
  literalPart,
  pivotOf,
} from "../plan/selection.ts";
import type { BuildMachine, Replaced } from "./machine.ts";
import { type Directory, destination, makeAbove, putTar } from "./put.ts";
import { TreeFilter } from "./tree-filter.ts";

/** Where what is copied goes. */
export interface CopyTarget {
  readonly vm: SmolVM;
  /** absolute, a slash at its end means a directory */
  readonly path: string;
  readonly placed: Replaced;
}

const AS_ROOT = { user: "0" } as const;

/**
 * Copies what a source of `COPY --from` names out of one sandbox into another.
 * @param source a path or pattern from the root on
 * @returns false: there is nothing of that name
 * @throws SmolVMError as file operations
 */
export async function copyFromMachine(
  given: BuildMachine,
  source: string,
  to: CopyTarget,
  filter: CopyFilter,
  deadline: Deadline,
): Promise<boolean> {
  if (filter.parents) return await copyWithParents(given, source, to, filter, deadline);
  const isLeftOut = leftOut(filter);
  const found = await matching(given, posix.resolve("/", source));
  for (const path of found) {
    const info = await given.vm.files.stat(path, AS_ROOT);
    if (info.type !== "directory" && isLeftOut(posix.basename(path))) continue;
    const { directory, name } = await destination(to.vm, to.path, info.type !== "directory");
    if (info.type === "directory") {
      const wanted = filter.exclude.length === 0 ? undefined : (below: string) => !isLeftOut(below);
      await copyTree(given, path, { ...to, directory, below: "" }, wanted, deadline);
    } else {
      const tar = given.fileTar(info, name ?? posix.basename(path), to.placed, deadline);
      await putTar(to.vm, tar, directory);
    }
  }
  return found.length > 0;
}

/** What a path or pattern from the root on names in a sandbox, part by part, in the order of names. */
export async function matching({ vm }: BuildMachine, path: string): Promise<string[]> {
  let found = ["/"];
  for (const part of path.split("/")) {
    if (part === "") continue;
    if (!hasPattern(part)) {
      found = found.map((above) => posix.join(above, part));
      continue;
    }
    const matches = globPattern(part, false);
    const below: string[] = [];
    for (const above of found)
      for (const name of await namesIn(vm, above))
        if (matches.test(name)) below.push(posix.join(above, name));
    found = below;
  }
  const there: string[] = [];
  for (const one of found) if (await vm.files.exists(one, AS_ROOT)) there.push(one);
  return there;
}

/** In order; none of what is no directory. */
async function namesIn(vm: SmolVM, directory: string): Promise<string[]> {
  try {
    return (await vm.files.list(directory, AS_ROOT)).map(({ name }) => name).sort();
  } catch (error) {
    if (isSmolVMError(error, "FILE_NOT_FOUND") || isSmolVMError(error, "FILE_TYPE")) return [];
    throw error;
  }
}

async function copyWithParents(
  given: BuildMachine,
  source: string,
  to: CopyTarget,
  filter: CopyFilter,
  deadline: Deadline,
): Promise<boolean> {
  const { base, pattern } = pivotOf(source);
  const isLeftOut = leftOut(filter);
  const literal = literalPart(pattern);
  const matches = globPattern(pattern, true);
  const { directory } = await destination(to.vm, to.path, false);
  let found = false;
  for (const root of await matching(given, posix.resolve("/", base))) {
    const at = posix.join(root, literal);
    const info = await statOf(given, at, literal === "" || literal !== pattern);
    if (info === undefined) continue;
    const isTree = info.type === "directory";
    if (!isTree && literal !== pattern) continue;
    const above = async (): Promise<void> => {
      const directories: Directory[] = [];
      for (const name of directoriesAbove(literal, isTree)) {
        const { mode, uid, gid, mtime } = await given.vm.files.stat(posix.join(root, name), AS_ROOT);
        const { uid: newUid = uid, gid: newGid = gid } = to.placed;
        directories.push({ name, mode, uid: newUid, gid: newGid, mtime: Math.floor(mtime.getTime() / 1000) });
      }
      await makeAbove(to.vm, directory, directories);
    };
    if (!isTree) {
      found = true;
      if (isLeftOut(literal)) continue;
      await above();
      const tar = given.fileTar(info, literal, to.placed, deadline);
      await putTar(to.vm, tar, directory);
      continue;
    }
    const start = literal === "" ? "" : `${literal}/`;
    const isWhole = literal === pattern;
    const wanted = (below: string): boolean => {
      const name = `${start}${below}`;
      if (!isWhole && !matches.test(name)) return false;
      found = true;
      return !isLeftOut(name);
    };
    const isNeeded = isWhole && !isLeftOut(literal);
    if (isWhole) found = true;
    const prepare = async (isEmpty: boolean): Promise<void> => {
      if (isNeeded || !isEmpty) await above();
    };
    await copyTree(given, at, { ...to, directory, below: literal, prepare }, wanted, deadline);
  }
  return found;
}

/** @param follow of a symlink what it leads to */
async function statOf(
  { vm }: BuildMachine,
  path: string,
  follow: boolean,
): Promise<GuestFileInfo | undefined> {
  try {
    return await vm.files.stat(path, { ...AS_ROOT, follow });
  } catch (error) {
    if (isSmolVMError(error, "FILE_NOT_FOUND") || isSmolVMError(error, "FILE_TYPE")) return undefined;
    throw error;
  }
}

/** Copies a directory, or what is wanted of it. */
async function copyTree(
  given: BuildMachine,
  path: string,
  to: CopyTarget & {
    readonly directory: string;
    /** what names in it begin with */
    readonly below: string;
    /** called before anything is written, with whether that is nothing at all */
    readonly prepare?: ((isEmpty: boolean) => Promise<void>) | undefined;
  },
  wanted: ((below: string) => boolean) | undefined,
  deadline: Deadline,
): Promise<void> {
  const filter = new TreeFilter(wanted ?? (() => true));
  const { placed, below } = to;
  const take = (step: DifferenceStep): Iterable<DifferenceStep> => filter.take(step);
  const chunks = given.tar(path, placed, deadline, { below, filter: take });
  // It comes with the first entry, or at the end.
  const first = await chunks.next();
  await to.prepare?.(filter.taken === 0);
  const all = async function* (): AsyncGenerator<Buffer> {
    if (first.done === true) return;
    yield first.value;
    yield* chunks;
  };
  await putTar(to.vm, all(), to.directory);
  for (const bytes of filter.withoutContent) {
    const name = Buffer.from(bytes, "latin1").toString("utf8");
    const info = await given.vm.files.stat(posix.join(path, name), { ...AS_ROOT, follow: false });
    await putTar(to.vm, given.fileTar(info, posix.join(below, name), placed, deadline), to.directory);
  }
}
