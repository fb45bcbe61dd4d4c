import { createHash, randomBytes } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, open } from "node:fs/promises";
import { join, posix } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { SmolVMError } from "../errors.ts";
import { type ImageDirs, imageLayout } from "../images/store/layout.ts";
import type { Deadline } from "../util/deadline.ts";
import { rm } from "../util/files-go.ts";
import { encodeEntry, padding } from "../util/tar/header.ts";
import type { BuildContext, Selected, Selection } from "./context.ts";
import type { Directory } from "./copy.ts";
import { fetchUrl, isPublic, type MayReach } from "./fetch-url.ts";
import { type CopyFilter, hasPattern, WHOLE } from "./selection.ts";

/** Whose what is copied is to be, and how it is called. */
export interface Placed {
  readonly uid: number;
  readonly gid: number;
  /** undefined: as it is */
  readonly mode: number | undefined;
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

export interface AddOptions {
  readonly dirs: ImageDirs;
  readonly keyword: string;
  /** default: all of each source, under its own name */
  readonly filter?: CopyFilter | undefined;
  /** told of a pattern that matches nothing; absent: that is refused as well */
  readonly warn?: ((what: string) => void) | undefined;
  /** of what is downloaded, "sha256:..." */
  readonly checksum: string | undefined;
  /** nothing may be downloaded. Default false */
  readonly offline?: boolean | undefined;
  readonly deadline: Deadline;
  /** default: the public internet */
  readonly mayReach?: MayReach | undefined;
  /** the error for what cannot be copied */
  readonly fail: (what: string, hint?: string) => SmolVMError;
}

/** As `ADD` names a Git repository: git@host:path, or an address whose path ends in .git, with a branch and the like behind it. */
const GIT = /^(?:git@|git:|ssh:|.*\.git(?:[#?]|$))/;
export const WITHOUT_GIT =
  "Clone it beside the Dockerfile and COPY it, or in a step: RUN git clone --depth 1 URL DIRECTORY";

/**
 * What the sources of COPY and ADD are: files and directories of the context, and for ADD archives, which are unpacked, and URLs.
 * @throws SmolVMError DOCKERFILE_INVALID, HOST_FAILED (a download), NO_SPACE, TIMEOUT, ABORTED
 */
export async function addedFiles(
  context: BuildContext,
  sources: readonly string[],
  options: AddOptions,
): Promise<AddedFile[]> {
  const { keyword, fail, deadline, filter = WHOLE, warn } = options;
  const files: AddedFile[] = [];
  for (const source of sources) {
    if (keyword === "ADD" && GIT.test(source))
      throw fail(`ADD of a Git repository is not supported: ${source}`, WITHOUT_GIT);
    if (keyword === "ADD" && /^https?:\/\//.test(source)) {
      if (options.offline === true)
        throw fail("ADD of a URL reaches a network, and this build has none (--network off)");
      files.push(await download(source, options));
      continue;
    }
    if (options.checksum !== undefined) throw fail("--checksum is of what is downloaded");
    if (/^(?:\.\.\/|.*\/\.\.\/|\.\.$)/.test(source)) throw fail(`'${source}' is outside of the context`);
    const selected = await context.select(source, filter);
    if (selected === undefined && warn !== undefined && hasPattern(source)) {
      warn(`'${source}' matches nothing in the context`);
      continue;
    }
    if (selected === undefined)
      throw fail(`'${source}' is not in '${context.directory}', or .dockerignore leaves it out`);
    const one = selected.files[0];
    if (keyword === "ADD" && !selected.isDirectory && one?.entry.kind === "file") {
      const unpacked = await archive(join(context.directory, one.entry.path), fail);
      if (unpacked !== undefined) {
        files.push({
          isOneFile: false,
          digest: async () => `archive ${await context.digest(selected.files, deadline)}`,
          tar: unpacked,
          close: async () => {},
        });
        continue;
      }
    }
    files.push({
      isOneFile: !selected.isDirectory,
      above: selected.above.map(({ name, entry: { mode, mtime } }) => ({
        name,
        mode,
        uid: 0,
        gid: 0,
        mtime,
      })),
      digest: () => context.digest([...selected.above, ...selected.files], deadline),
      tar: (placed) => context.tar(named(selected, placed.name), placed),
      close: async () => {},
    });
  }
  return files;
}

function named({ files, isDirectory }: Selection, name: string | undefined): Selected[] {
  return isDirectory || name === undefined ? files : files.map((file) => ({ ...file, name }));
}

const MAGIC: readonly (readonly [string, "gzip" | "zstd" | "bzip2" | "xz"])[] = [
  ["1f8b", "gzip"],
  ["28b52ffd", "zstd"],
  ["425a68", "bzip2"],
  ["fd377a585a00", "xz"],
];
const USTAR_AT = 257;

/** How a local archive is unpacked; undefined: it is none. */
async function archive(
  path: string,
  fail: (what: string) => SmolVMError,
): Promise<(() => AsyncIterable<Buffer>) | undefined> {
  const head = await headOf(createReadStream(path, { end: 511 }));
  const packing = MAGIC.find(([magic]) => head.toString("hex").startsWith(magic))?.[1];
  if (packing === "bzip2" || packing === "xz")
    throw fail(`an archive packed with ${packing} cannot be unpacked: use gzip or zstd`);
  const content = (): Readable => {
    const file = createReadStream(path);
    if (packing === undefined) return file;
    const decoder = packing === "gzip" ? createGunzip() : createZstdDecompress();
    file.on("error", (error) => decoder.destroy(error));
    return file.pipe(decoder);
  };
  const first = packing === undefined ? head : await headOf(content()).catch(() => Buffer.alloc(0));
  return first.toString("latin1", USTAR_AT, USTAR_AT + 5) === "ustar" ? content : undefined;
}

async function headOf(stream: Readable): Promise<Buffer> {
  let head = Buffer.alloc(0);
  for await (const chunk of stream) {
    head = Buffer.concat([head, chunk as Buffer]);
    if (head.length >= 512) break;
  }
  return head;
}

/** Downloads a file; it is for root alone, as Docker has it. */
async function download(
  url: string,
  { dirs, checksum, deadline, fail, mayReach = isPublic }: AddOptions,
): Promise<AddedFile> {
  if (checksum !== undefined && !/^sha256:[0-9a-f]{64}$/.test(checksum))
    throw fail(`--checksum=${checksum} is no sha256:...`);
  const name = posix.basename(new URL(url).pathname);
  const { blobs } = imageLayout(dirs);
  await mkdir(blobs, { recursive: true, mode: 0o700 });
  // One whose maker has died is told by its name (store/unfinished.ts).
  const path = join(blobs, `add.${process.pid}.${randomBytes(4).toString("hex")}.tmp`);
  const hash = createHash("sha256");
  let size = 0;
  let mtime = 0;
  try {
    const answer = await fetchUrl(url, mayReach, deadline);
    mtime = Math.floor((Date.parse(answer.headers["last-modified"] ?? "") || 0) / 1000);
    await pipeline(
      answer,
      async function* (chunks: AsyncIterable<Uint8Array>) {
        for await (const chunk of chunks) {
          hash.update(chunk);
          size += chunk.length;
          yield chunk;
        }
      },
      createWriteStream(path, { flags: "wx", mode: 0o600 }),
    );
  } catch (cause) {
    await rm(path, { force: true });
    if (deadline.expired) throw deadline.error();
    throw new SmolVMError("HOST_FAILED", `'${url}' cannot be downloaded: ${(cause as Error).message}`, {
      hint: "Look whether this machine reaches it (curl -I URL), or put the file into the context and COPY it.",
      cause,
    });
  }
  const digest = `sha256:${hash.digest("hex")}`;
  if (checksum !== undefined && digest !== checksum) {
    await rm(path, { force: true });
    throw fail(`what comes from ${url} is ${digest}, and not ${checksum}`);
  }
  return {
    isOneFile: true,
    digest: async () => `download ${digest} ${name}`,
    async *tar(placed) {
      const called = placed.name ?? name;
      if (called === "")
        throw fail(`${url} says no file name: give a destination without a slash at its end`);
      const { uid, gid, mode = 0o600 } = placed;
      const header = { mode, uid, gid, size, mtime, type: "0", linkName: Buffer.alloc(0) };
      yield encodeEntry({ ...header, name: Buffer.from(called) });
      const file = await open(path, "r");
      yield* file.createReadStream() as AsyncIterable<Buffer>;
      yield Buffer.alloc(padding(size) + 1024);
    },
    close: () => rm(path, { force: true }),
  };
}

/** A text as a file. */
export function textFile(called: string, content: string | Uint8Array): AddedFile {
  const bytes = Buffer.from(content);
  return {
    isOneFile: true,
    digest: async () => `text ${called} ${createHash("sha256").update(bytes).digest("hex")}`,
    async *tar({ uid, gid, mode = 0o644, name = called }) {
      const header = { mode, uid, gid, size: bytes.length, mtime: 0, type: "0", linkName: Buffer.alloc(0) };
      yield Buffer.concat([
        encodeEntry({ ...header, name: Buffer.from(name) }),
        bytes,
        Buffer.alloc(padding(bytes.length) + 1024),
      ]);
    },
    close: async () => {},
  };
}
