import { posix } from "node:path";
import type { DifferenceStep } from "../../agent/files/difference.ts";
import { globPattern } from "../../images/dockerfile/ignore.ts";
import type { SmolVM } from "../../smolvm.ts";
import type { Directory } from "../context/directories.ts";
import { type CopyFilter, directoriesAbove, leftOut, literalPart, pivotOf } from "../plan/selection.ts";
import { ifThere } from "./if-there.ts";
import type { BuildMachine } from "./machine.ts";
import { matching } from "./matching.ts";
import { destination, makeAbove, putTar } from "./put.ts";
import { type Replaced, takeFile, takeTree } from "./take.ts";
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
export async function copyAcross(
  given: BuildMachine,
  source: string,
  to: CopyTarget,
  filter: CopyFilter,
): Promise<boolean> {
  if (filter.parents) return await copyWithParents(given, source, to, filter);
  const isLeftOut = leftOut(filter);
  const found = await matching(given, posix.resolve("/", source));
  for (const path of found) {
    const info = await given.vm.files.stat(path, AS_ROOT);
    if (info.type !== "directory" && isLeftOut(posix.basename(path))) continue;
    const { directory, name } = await destination(to.vm, to.path, info.type !== "directory");
    if (info.type === "directory") {
      const wanted = filter.exclude.length === 0 ? undefined : (below: string) => !isLeftOut(below);
      await copyTree(given, path, { ...to, directory, below: "" }, wanted);
    } else {
      const tar = takeFile(given, info, name ?? posix.basename(path), to.placed);
      await putTar(to.vm, tar, directory);
    }
  }
  return found.length > 0;
}

async function copyWithParents(
  given: BuildMachine,
  source: string,
  to: CopyTarget,
  filter: CopyFilter,
): Promise<boolean> {
  const { base, pattern } = pivotOf(source);
  const isLeftOut = leftOut(filter);
  const literal = literalPart(pattern);
  const matches = globPattern(pattern, true);
  const { directory } = await destination(to.vm, to.path, false);
  let found = false;
  for (const root of await matching(given, posix.resolve("/", base))) {
    const at = posix.join(root, literal);
    const follow = literal === "" || literal !== pattern;
    const info = await ifThere(given.vm.files.stat(at, { ...AS_ROOT, follow }));
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
      const tar = takeFile(given, info, literal, to.placed);
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
    await copyTree(given, at, { ...to, directory, below: literal, prepare }, wanted);
  }
  return found;
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
): Promise<void> {
  const filter = new TreeFilter(wanted ?? (() => true));
  const { placed, below } = to;
  const take = (step: DifferenceStep): Iterable<DifferenceStep> => filter.take(step);
  const chunks = takeTree(given, path, placed, { below, filter: take });
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
    await putTar(to.vm, takeFile(given, info, posix.join(below, name), placed), to.directory);
  }
}
