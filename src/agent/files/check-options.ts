import { checkNames } from "../../util/check-names.ts";
import type { ReadOptions, ReadWholeOptions, WriteOptions } from "./content.ts";
import type { DownloadOptions } from "./download.ts";
import type { DownloadTarOptions } from "./download-tar.ts";
import type { ListOptions } from "./list.ts";
import type { CopyOptions, FileOptions, TransferOptions } from "./types.ts";
import type { UploadTarOptions } from "./upload-tar.ts";
import type { WatchOptions } from "./watch.ts";

/** All names of a type of options: the compiler misses none, and takes none that is not there. */
type Names<Options> = Record<keyof Options, true>;

const FILE: Names<FileOptions> = { user: true, timeoutMs: true, signal: true };
const READ: Names<ReadOptions> = { ...FILE, offset: true, length: true };
const READ_WHOLE: Names<ReadWholeOptions> = { ...READ, maxBytes: true };
const WRITE: Names<WriteOptions> = {
  ...FILE,
  mode: true,
  mtime: true,
  parents: true,
  exclusive: true,
  ifVersion: true,
  append: true,
};
const TRANSFER: Names<TransferOptions> = { ...FILE, parents: true, onProgress: true };
const DOWNLOAD: Names<DownloadOptions> = { ...TRANSFER, maxEntries: true, maxBytes: true };
const UPLOAD_TAR: Names<UploadTarOptions> = { ...FILE, keepOwner: true, onProgress: true };
const DOWNLOAD_TAR: Names<DownloadTarOptions> = {
  ...FILE,
  maxEntries: true,
  maxBytes: true,
  name: true,
  onSkipped: true,
};
const COPY: Names<CopyOptions> = { ...FILE, recursive: true, overwrite: true, parents: true };
const LIST: Names<ListOptions> = { ...FILE, depth: true };
const WATCH: Names<WatchOptions> = { ...FILE, recursive: true };

/** A method of GuestFiles. */
type Method =
  | "read"
  | "readText"
  | "readStream"
  | "write"
  | "writeStream"
  | "writeMany"
  | "list"
  | "stat"
  | "exists"
  | "mkdir"
  | "remove"
  | "rename"
  | "copy"
  | "upload"
  | "download"
  | "uploadTar"
  | "downloadTar"
  | "watch";

const KNOWN: Record<Method, object> = {
  read: READ_WHOLE,
  readText: READ_WHOLE,
  readStream: READ,
  write: WRITE,
  writeStream: WRITE,
  writeMany: FILE,
  list: LIST,
  stat: { ...FILE, follow: true },
  exists: FILE,
  mkdir: { ...FILE, parents: true, mode: true },
  remove: { ...FILE, recursive: true, force: true },
  copy: COPY,
  rename: { ...FILE, replace: true },
  upload: { ...TRANSFER, mode: true },
  download: DOWNLOAD,
  uploadTar: UPLOAD_TAR,
  downloadTar: DOWNLOAD_TAR,
  watch: WATCH,
};

/** Refuses what a method of GuestFiles would ignore. @throws SmolVMError CONFIG_INVALID */
export function checkFileOptions(method: Method, options: object): void {
  checkNames(options, Object.keys(KNOWN[method]));
}
