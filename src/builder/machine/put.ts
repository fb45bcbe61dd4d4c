import { posix } from "node:path";
import { isSmolVMError } from "../../errors.ts";
import { dockerfileError, type Instruction } from "../../images/dockerfile/parse.ts";
import type { SmolVM } from "../../smolvm.ts";
import { encodeEntry } from "../../util/tar/header.ts";
import { type Chmod, parseChmod } from "../plan/chmod.ts";

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

/** A directory as it is where something is copied from. */
export interface Directory {
  /** relative to where it goes */
  readonly name: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** in s since 1970 */
  readonly mtime: number;
}

/** Makes directories, the highest first; those that are there stay as they are. */
export async function makeAbove(vm: SmolVM, directory: string, above: readonly Directory[]): Promise<void> {
  const missing: Directory[] = [];
  for (const one of above)
    if (!(await isDirectoryThere(vm, posix.join(directory, one.name)))) missing.push(one);
  if (missing.length > 0) await putTar(vm, directoriesTar(missing), directory);
}

/** Directories with nothing in them, as a tar. */
export async function* directoriesTar(directories: readonly Directory[]): AsyncGenerator<Buffer> {
  const entries = directories.map(({ name, ...attributes }) =>
    encodeEntry({
      ...attributes,
      name: Buffer.from(`${name}/`),
      size: 0,
      type: "5",
      linkName: Buffer.alloc(0),
    }),
  );
  yield Buffer.concat([...entries, Buffer.alloc(1024)]);
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
  try {
    return (await vm.files.stat(path, { user: "0" })).type === "directory";
  } catch (error) {
    if (isSmolVMError(error, "FILE_NOT_FOUND") || isSmolVMError(error, "FILE_TYPE")) return false;
    throw error;
  }
}

/** Users and groups as `--chown` names them. @throws SmolVMError DOCKERFILE_INVALID */
export async function ownerOf(
  vm: SmolVM,
  chown: string,
  { line }: Instruction,
  file: string,
): Promise<{ uid: number; gid: number }> {
  const [user = "", group] = chown.split(":");
  const table = async (path: string): Promise<string[][]> => {
    const text = await vm.files.readText(path, { user: "0" }).catch(() => "");
    return text.split("\n").map((entry) => entry.split(":"));
  };
  const isNumber = /^\d{1,10}$/;
  const numberOf = async (name: string, path: string): Promise<string[]> => {
    const found = (await table(path)).find((entry) => entry[0] === name);
    if (found === undefined) throw dockerfileError(file, line, `the image's ${path} has no '${name}'`);
    return found;
  };
  if (user === "") throw dockerfileError(file, line, `--chown=${chown} names no user`);
  const entry = isNumber.test(user) ? undefined : await numberOf(user, "/etc/passwd");
  const uid = Number(entry?.[2] ?? user);
  if (group === undefined) return { uid, gid: entry === undefined ? uid : Number(entry[3]) };
  if (isNumber.test(group)) return { uid, gid: Number(group) };
  return { uid, gid: Number((await numberOf(group, "/etc/group"))[2]) };
}

/** The mode of `--chmod`. @throws SmolVMError DOCKERFILE_INVALID */
export function modeOf(chmod: string, { line }: Instruction, file: string): Chmod {
  const mode = parseChmod(chmod);
  if (mode !== undefined) return mode;
  throw dockerfileError(
    file,
    line,
    `--chmod=${chmod} is no mode`,
    "Give octal digits (755), or what chmod takes: u=rwX,go=rX",
  );
}
