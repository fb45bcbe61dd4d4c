import { encodeEntry } from "../../util/tar/header.ts";

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
