import { createHash, randomBytes } from "node:crypto";
import { createWriteStream } from "node:fs";
import { mkdir, open } from "node:fs/promises";
import { join, posix } from "node:path";
import { pipeline } from "node:stream/promises";
import { isSmolVMError, SmolVMError } from "../../errors.ts";
import { PACKING_HEAD_BYTES, packingOf, readPacked } from "../../images/formats/packed.ts";
import { readHead } from "../../images/formats/read-head.ts";
import { type ImageDirs, imageLayout } from "../../images/store/layout.ts";
import type { Deadline } from "../../util/deadline.ts";
import { rm } from "../../util/files-go.ts";
import { BLOCK_BYTES, decodeHeader, encodeEntry, padding } from "../../util/tar/header.ts";
import type { Directory } from "../machine/put.ts";
import { type Chmod, changed } from "../plan/chmod.ts";
import { type CopyFilter, hasPattern, WHOLE } from "../plan/selection.ts";
import type { BuildContext, Selected, Selection } from "./context.ts";
import { fetchUrl, isPublic, type MayReach } from "./fetch-url.ts";

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

export interface AddOptions {
  readonly dirs: ImageDirs;
  readonly keyword: string;
  /** default: all of each source, under its own name */
  readonly filter?: CopyFilter | undefined;
  /** told of a pattern that matches nothing; absent: that is refused as well */
  readonly warn?: ((what: string) => void) | undefined;
  /** of what is downloaded, "sha256:..." */
  readonly checksum: string | undefined;
  /** archives are unpacked. Default: those of the context are, what is downloaded is not */
  readonly unpack?: boolean | undefined;
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

const ABOVE_THE_CONTEXT =
  "Nothing above the context's directory is copied: there '..' is that directory itself. Build from a higher one, with -f for the Dockerfile.";
const COPIED_AS_IT_IS = "Make it again, or copy it as it is: ADD --unpack=false";

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
      const file = await download(source, options);
      const unpacked =
        options.unpack === true
          ? await archive(file.path, source, fail, file).catch(async (error: unknown) => {
              await file.close();
              throw error;
            })
          : undefined;
      files.push(unpacked ?? file);
      continue;
    }
    if (options.checksum !== undefined) throw fail("--checksum is of what is downloaded");
    const selected = await context.select(source, filter);
    if (selected === undefined && warn !== undefined && hasPattern(source)) {
      warn(`'${source}' matches nothing in the context`);
      continue;
    }
    if (selected === undefined) throw notThere(context, source, fail);
    const one = selected.files[0];
    const isUnpacked = keyword === "ADD" && options.unpack !== false;
    if (isUnpacked && !selected.isDirectory && one?.entry.kind === "file") {
      const unpacked = await archive(join(context.directory, one.entry.path), source, fail, {
        digest: () => context.digest(selected.files, deadline),
        close: async () => {},
      });
      if (unpacked !== undefined) {
        files.push(unpacked);
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

/** The error for a name that the context has not. */
export function notThere(context: BuildContext, source: string, fail: AddOptions["fail"]): SmolVMError {
  const isAbove = /(?:^|\/)\.\.(?:\/|$)/.test(source);
  return fail(
    `'${source}' is not in '${context.directory}', or .dockerignore leaves it out`,
    isAbove ? ABOVE_THE_CONTEXT : undefined,
  );
}

function named({ files, isDirectory }: Selection, name: string | undefined): Selected[] {
  return isDirectory || name === undefined ? files : files.map((file) => ({ ...file, name }));
}

const USTAR_AT = 257;

/**
 * A file as an archive that is unpacked where it goes, whole and with the owners that it says.
 * @returns undefined: it is none
 * @throws SmolVMError DOCKERFILE_INVALID if it is packed and its beginning is damaged
 */
async function archive(
  path: string,
  source: string,
  fail: AddOptions["fail"],
  of: Pick<AddedFile, "digest" | "close">,
): Promise<AddedFile | undefined> {
  const packing = packingOf(await readHead(path, PACKING_HEAD_BYTES));
  const head = await headOf(readPacked(path, packing)).catch((error: unknown) => {
    if (!isSmolVMError(error)) throw error;
    throw fail(`'${source}' cannot be unpacked: ${error.message}`, COPIED_AS_IT_IS);
  });
  if (!isTar(head)) return undefined;
  return {
    isOneFile: false,
    digest: async () => `archive ${await of.digest()}`,
    tar: () => readPacked(path, packing),
    close: of.close,
  };
}

/** What a header says, or would if it were not damaged. */
function isTar(head: Buffer): boolean {
  if (head.length < BLOCK_BYTES) return false;
  if (head.toString("latin1", USTAR_AT, USTAR_AT + 5) === "ustar") return true;
  try {
    return decodeHeader(head) !== undefined;
  } catch {
    return false;
  }
}

async function headOf(chunks: AsyncIterable<Buffer>): Promise<Buffer> {
  let head = Buffer.alloc(0);
  for await (const chunk of chunks) {
    head = Buffer.concat([head, chunk.subarray(0, BLOCK_BYTES)]);
    if (head.length >= BLOCK_BYTES) break;
  }
  return head.subarray(0, BLOCK_BYTES);
}

/** Downloads a file; it is for root alone, as Docker has it. */
async function download(
  url: string,
  { dirs, checksum, deadline, fail, mayReach = isPublic }: AddOptions,
): Promise<AddedFile & { readonly path: string }> {
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
    path,
    isOneFile: true,
    digest: async () => `download ${digest} ${name}`,
    async *tar(placed) {
      const called = placed.name ?? name;
      if (called === "")
        throw fail(`${url} says no file name: give a destination without a slash at its end`);
      const { uid, gid } = placed;
      const mode = changed(placed.mode, 0o600, false);
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
    async *tar({ uid, gid, mode, name = called }) {
      const header = {
        mode: changed(mode, 0o644, false),
        uid,
        gid,
        size: bytes.length,
        mtime: 0,
        type: "0",
        linkName: Buffer.alloc(0),
      };
      yield Buffer.concat([
        encodeEntry({ ...header, name: Buffer.from(name) }),
        bytes,
        Buffer.alloc(padding(bytes.length) + 1024),
      ]);
    },
    close: async () => {},
  };
}
