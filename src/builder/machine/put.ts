import { posix } from "node:path";
import type { SmolVM } from "../../smolvm.ts";
import { type Directory, directoriesTar } from "../context/directories.ts";
import { ifThere } from "./if-there.ts";

/** Where files are put: a directory of the image, and what a single file is called there. */
export interface Destination {
  readonly directory: string;
  /** undefined: as it is called */
  readonly name: string | undefined;
}

/**
 * Where COPY and ADD put things: into a directory, or (one file, and no slash at the end) to a path. The directory is made.
 * @param path absolute, a slash at its end means a directory
 */
export async function destination(vm: SmolVM, path: string, isOneFile: boolean): Promise<Destination> {
  const isDirectory = !isOneFile || path.endsWith("/") || (await isDirectoryThere(vm, path));
  const directory = isDirectory ? posix.join(path, ".") : posix.dirname(path);
  await vm.files.mkdir(directory, { parents: true, user: "0" });
  return { directory, name: isDirectory ? undefined : posix.basename(path) };
}

/** Makes directories, the highest first; those that are there stay as they are. */
export async function makeAbove(vm: SmolVM, directory: string, above: readonly Directory[]): Promise<void> {
  const missing: Directory[] = [];
  for (const one of above)
    if (!(await isDirectoryThere(vm, posix.join(directory, one.name)))) missing.push(one);
  if (missing.length > 0) await putTar(vm, directoriesTar(missing), directory);
}

/**
 * Unpacks a tar in a directory of a sandbox, as root and with the owners and attributes that it says.
 * @returns the paths in it that were left out: devices and pipes
 */
export async function putTar(vm: SmolVM, tar: AsyncIterable<Buffer>, directory: string): Promise<string[]> {
  const { skipped } = await vm.files.uploadTar(tar, directory, { keepOwner: true, user: "0" });
  return skipped.map(({ path }) => path);
}

async function isDirectoryThere(vm: SmolVM, path: string): Promise<boolean> {
  return (await ifThere(vm.files.stat(path, { user: "0" })))?.type === "directory";
}
