import type { DiskEntry } from "../../agent/files/difference.ts";
import type { GuestFileInfo } from "../../agent/files/types.ts";
import { encodeEntry } from "../../util/tar/header.ts";
import { directoryTar, type TarOptions } from "../../vm/commit/layer.ts";
import { type Chmod, changed } from "../plan/chmod.ts";
import type { BuildMachine } from "./machine.ts";

/** Whose something is to be, and with which mode; absent: as it is. */
export interface Replaced {
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  readonly mode?: Chmod | undefined;
}

/**
 * All of a directory of a sandbox, as a tar.
 * @param below the directory that names in the tar begin with
 */
export async function* takeTree(
  machine: BuildMachine,
  path: string,
  placed: Replaced = {},
  { below = "", ...options }: TarOptions & { readonly below?: string } = {},
): AsyncGenerator<Buffer, void, undefined> {
  const start = below === "" ? "" : Buffer.from(`${below}/`).toString("latin1");
  yield* renamed(machine, path, placed, (name) => `${start}${name}`, options);
}

/** A file of a sandbox, or a symlink if that is what `info` is of, as a tar. @param name what it is called there */
export async function* takeFile(
  machine: BuildMachine,
  info: GuestFileInfo,
  name: string,
  placed: Replaced = {},
): AsyncGenerator<Buffer, void, undefined> {
  const { mode, uid, gid, mtime, path, target } = info;
  if (info.type !== "symlink") {
    yield* renamed(machine, path, placed, () => Buffer.from(name).toString("latin1"));
    return;
  }
  const header = {
    name: Buffer.from(name),
    uid,
    gid,
    size: 0,
    mtime: Math.floor(mtime.getTime() / 1000),
    type: "2",
    linkName: Buffer.from(target!),
    ...given(placed, mode, false),
  };
  yield Buffer.concat([encodeEntry(header), Buffer.alloc(1024)]);
}

/** @param rename names and targets of hard links, bytes, each as one character */
async function* renamed(
  machine: BuildMachine,
  path: string,
  placed: Replaced,
  rename: (name: string) => string,
  options: TarOptions = {},
): AsyncGenerator<Buffer, void, undefined> {
  const change = (entry: DiskEntry): DiskEntry => ({
    ...entry,
    path: rename(entry.path),
    target: entry.kind === "link" ? rename(entry.target) : entry.target,
    ...given(placed, entry.mode, entry.kind === "directory"),
  });
  const session = await machine.session();
  try {
    yield* directoryTar(session, path, change, machine.build.deadline, options);
  } finally {
    await session.close();
  }
}

function given(
  { uid, gid, mode }: Replaced,
  before: number,
  isDirectory: boolean,
): { uid?: number; gid?: number; mode: number } {
  return {
    mode: changed(mode, before, isDirectory),
    ...(uid === undefined ? {} : { uid }),
    ...(gid === undefined ? {} : { gid }),
  };
}
