import { join } from "node:path";
import type { SmolVMError } from "../../errors.ts";
import type { Fail } from "../plan/errors.ts";
import { type CopyFilter, hasPattern, WHOLE } from "../plan/selection.ts";
import type { AddedFile } from "./added-file.ts";
import { archive } from "./archive.ts";
import type { BuildContext } from "./context.ts";
import { type DownloadOptions, download } from "./download.ts";
import type { Selected, Selection } from "./select.ts";

export interface AddOptions extends DownloadOptions {
  readonly keyword: string;
  /** default: all of each source, under its own name */
  readonly filter?: CopyFilter | undefined;
  /** told of a pattern that matches nothing; absent: that is refused as well */
  readonly warn?: ((what: string) => void) | undefined;
  /** archives are unpacked. Default: those of the context are, what is downloaded is not */
  readonly unpack?: boolean | undefined;
  /** nothing may be downloaded. Default false */
  readonly offline?: boolean | undefined;
}

/** As `ADD` names a Git repository: git@host:path, or an address whose path ends in .git, with a branch and the like behind it. */
const GIT = /^(?:git@|git:|ssh:|.*\.git(?:[#?]|$))/;
export const WITHOUT_GIT =
  "Clone it beside the Dockerfile and COPY it, or in a step: RUN git clone --depth 1 URL DIRECTORY";

const ABOVE_THE_CONTEXT =
  "Nothing above the context's directory is copied: there '..' is that directory itself. Build from a higher one, with -f for the Dockerfile.";

/**
 * What the sources of COPY and ADD are: files and directories of the context, and for ADD archives, which are unpacked, and URLs.
 * @throws SmolVMError DOCKERFILE_INVALID, HOST_FAILED (a download), NO_SPACE, TIMEOUT, ABORTED
 */
export async function addedFiles(
  context: BuildContext,
  sources: readonly string[],
  options: AddOptions,
): Promise<AddedFile[]> {
  const files: AddedFile[] = [];
  try {
    for (const source of sources) {
      const file = await addedFile(context, source, options);
      if (file !== undefined) files.push(file);
    }
    return files;
  } catch (error) {
    await closeAll(files);
    throw error;
  }
}

/** Nothing is left of any of them here. */
export async function closeAll(files: readonly AddedFile[]): Promise<void> {
  await Promise.all(files.map((file) => file.close()));
}

async function addedFile(
  context: BuildContext,
  source: string,
  options: AddOptions,
): Promise<AddedFile | undefined> {
  const { keyword, fail } = options;
  if (keyword === "ADD" && GIT.test(source))
    throw fail(`ADD of a Git repository is not supported: ${source}`, WITHOUT_GIT);
  const isUrl = keyword === "ADD" && /^https?:\/\//.test(source);
  return isUrl ? await ofNetwork(source, options) : await ofContext(context, source, options);
}

async function ofNetwork(url: string, options: AddOptions): Promise<AddedFile> {
  const { fail, unpack = false, offline = false } = options;
  if (offline) throw fail("ADD of a URL reaches a network, and this build has none (--network off)");
  const file = await download(url, options);
  if (!unpack) return file;
  try {
    return (await archive(file.path, url, fail, file)) ?? file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** @returns undefined: a pattern matches nothing */
async function ofContext(
  context: BuildContext,
  source: string,
  { keyword, fail, deadline, filter = WHOLE, warn, unpack = true, checksum }: AddOptions,
): Promise<AddedFile | undefined> {
  if (checksum !== undefined) throw fail("--checksum is of what is downloaded");
  const selected = await context.select(source, filter);
  if (selected === undefined && warn !== undefined && hasPattern(source)) {
    warn(`'${source}' matches nothing in the context`);
    return undefined;
  }
  if (selected === undefined) throw notThere(context, source, fail);
  const one = selected.files[0];
  if (keyword === "ADD" && unpack && !selected.isDirectory && one?.entry.kind === "file") {
    const unpacked = await archive(join(context.directory, one.entry.path), source, fail, {
      digest: () => context.digest(selected.files, deadline),
      close: async () => {},
    });
    if (unpacked !== undefined) return unpacked;
  }
  return {
    isOneFile: !selected.isDirectory,
    above: selected.above.map(({ name, entry: { mode, mtime } }) => ({ name, mode, uid: 0, gid: 0, mtime })),
    digest: () => context.digest([...selected.above, ...selected.files], deadline),
    tar: (placed) => context.tar(named(selected, placed.name), placed),
    close: async () => {},
  };
}

/** The error for a name that the context has not. */
export function notThere(context: BuildContext, source: string, fail: Fail): SmolVMError {
  const isAbove = /(?:^|\/)\.\.(?:\/|$)/.test(source);
  return fail(
    `'${source}' is not in '${context.directory}', or .dockerignore leaves it out`,
    isAbove ? ABOVE_THE_CONTEXT : undefined,
  );
}

function named({ files, isDirectory }: Selection, name: string | undefined): Selected[] {
  return isDirectory || name === undefined ? files : files.map((file) => ({ ...file, name }));
}
