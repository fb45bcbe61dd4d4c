import type { Chmod } from "../plan/chmod.ts";
import type { Directory } from "./directories.ts";

/** Whose what is copied is to be, and how it is called. */
export interface Placed {
  readonly uid: number;
  readonly gid: number;
  /** undefined: as it is */
  readonly mode: Chmod | undefined;
  /** of a single file; undefined: as it is called */
  readonly name: string | undefined;
}

/** Something that COPY or ADD copies. */
export interface AddedFile {
  /** it is one, and its destination may be its own path */
  readonly isOneFile: boolean;
  /** a hash of its content */
  digest(): Promise<string>;
  tar(placed: Placed): AsyncIterable<Buffer>;
  /** nothing is left of it here */
  close(): Promise<void>;
  /** directories that are made where it goes, if they are missing */
  readonly above?: readonly Directory[] | undefined;
}
