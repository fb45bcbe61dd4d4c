import { types } from "node:util";
import { SmolVMError } from "../../errors.ts";
import { contentOf, kindOf } from "../../util/bytes.ts";
import type { Deadline } from "../../util/deadline.ts";
import type { AgentSession } from "../session/session.ts";
import type { Bytes } from "../types.ts";
import { FileType } from "../wire/messages.ts";
import { guestPath, guestUser, showPath } from "./guest-path.ts";
import { Outflow } from "./outflow.ts";
import { TreeSender } from "./tree-sender.ts";
import type { FileOptions } from "./types.ts";

/** One file of `writeMany`. */
export interface FileToWrite {
  readonly path: string;
  /** a string (as UTF-8) or bytes: for streams there is `write` */
  readonly content: string | Bytes;
  /** permission bits; default those of the file that is replaced, else 0o644 less the umask */
  readonly mode?: number | undefined;
  /** modification time; default now */
  readonly mtime?: Date | undefined;
}

/** A file where it goes, in components behind its root: "/" or a home. */
interface Placed {
  readonly root: string;
  readonly names: readonly string[];
  readonly content: Uint8Array;
  readonly mode: number | undefined;
  readonly mtimeMs: number;
}

/** Checks what is to be written, before anything is asked of the guest. @throws SmolVMError CONFIG_INVALID */
export function checkFilesToWrite(files: readonly FileToWrite[]): void {
  if (!Array.isArray(files)) throw invalid("the files are not an array", undefined);
  files.forEach((file: unknown, index) => {
    if (typeof file !== "object" || file === null)
      throw invalid(`file ${index} is ${kindOf(file)}`, undefined);
    const { path, content, mode, mtime, ...rest } = file as FileToWrite;
    guestPath(path);
    const [unknown] = Object.keys(rest);
    if (unknown !== undefined) throw invalid(`${showPath(path)} has an unknown field '${unknown}'`, path);
    if (contentOf(content) === undefined)
      throw invalid(
        `the content of ${showPath(path)} is ${kindOf(content)}, neither a string nor bytes`,
        path,
      );
    if (mode !== undefined && !(Number.isInteger(mode) && mode > 0 && mode <= 0o7777))
      throw invalid(`the mode ${mode} of ${showPath(path)} is not a number from 0o1 to 0o7777`, path);
    if (mtime !== undefined && !(types.isDate(mtime) && Number.isFinite(mtime.getTime())))
      throw invalid(`the mtime of ${showPath(path)} is not a valid Date`, path);
    const names = path.split("/");
    if (names.includes("..")) throw invalid(`${showPath(path)} has '..' in it`, path);
    if (["", "."].includes(names.at(-1)!)) throw invalid(`${showPath(path)} is a directory`, path);
  });
}

/**
 * Writes files in the guest; see {@link GuestFiles.writeMany}.
 * @param at where a path is in the guest
 */
export async function writeMany(
  session: AgentSession,
  files: readonly FileToWrite[],
  at: (path: string) => string,
  options: FileOptions,
  deadline: Deadline,
): Promise<void> {
  const placed = files.map((file) => place(file, at(file.path)));
  const seen = new Set<string>();
  for (const { root, names } of placed) {
    const path = root + names.join("/");
    if (seen.has(path)) throw invalid(`${showPath(path)} comes twice`, path);
    seen.add(path);
  }
  // A home is known to the guest alone: what is in one is another tree than what is not.
  for (const root of new Set(placed.map((file) => file.root))) {
    const below = placed.filter((file) => file.root === root);
    await sendTree(session, root, below, options, deadline);
  }
}

function place({ path, content, mode, mtime }: FileToWrite, at: string): Placed {
  const slash = at.indexOf("/") + 1;
  const names = at.slice(slash).split("/");
  return {
    root: at.slice(0, slash),
    names: names.filter((name) => name !== "" && name !== "."),
    content: contentOf(content) ?? unreachable(path),
    mode,
    mtimeMs: Math.max(0, mtime?.getTime() ?? 0),
  };
}

async function sendTree(
  session: AgentSession,
  root: string,
  files: readonly Placed[],
  options: FileOptions,
  deadline: Deadline,
): Promise<void> {
  // The deepest directory that has them all: symlinks on the way there are followed, further down the guest follows none.
  const common = files.map(({ names }): readonly string[] => names.slice(0, -1)).reduce(commonStart);
  const to = `${root}${common.join("/")}`;
  const treeWrite = { path: guestPath(to), user: guestUser(options.user) };
  const what = `writing ${files.length} files to ${showPath(to)}`;
  const outflow = new Outflow(
    session,
    { open: { treeWrite }, what, effects: true, context: "file" },
    deadline,
  );
  const sender = new TreeSender(outflow);
  try {
    await sender.entry({ type: FileType.directory });
    let chain: readonly string[] = [];
    for (const { names, content, mode, mtimeMs } of [...files].sort(byPath)) {
      const relative = names.slice(common.length);
      const above = relative.slice(0, -1);
      for (let length = commonStart(chain, above).length + 1; length <= above.length; length++) {
        await sender.entry({ path: bytes(above.slice(0, length)), type: FileType.directory });
      }
      chain = above;
      const mtimeS = Math.floor(mtimeMs / 1000);
      const mtimeNs = Math.floor(mtimeMs % 1000) * 1_000_000;
      const size = content.length;
      await sender.entry({ path: bytes(relative), type: FileType.file, mode, size, mtimeS, mtimeNs });
      await sender.data(content);
      await sender.end();
      if (outflow.over) break; // the guest has said why
    }
    await sender.flush();
    await outflow.end();
  } catch (error) {
    outflow.cancel(error);
    throw error;
  }
}

function commonStart(a: readonly string[], b: readonly string[]): readonly string[] {
  let length = 0;
  while (length < a.length && length < b.length && a[length] === b[length]) length++;
  return a.slice(0, length);
}

/** What is in one directory comes together. */
function byPath(a: Placed, b: Placed): number {
  const [first, second] = [a.names.join("\0"), b.names.join("\0")];
  return first < second ? -1 : first > second ? 1 : 0;
}

function bytes(names: readonly string[]): Buffer {
  return Buffer.from(names.join("/"));
}

function invalid(problem: string, path: string | undefined): SmolVMError {
  return new SmolVMError("CONFIG_INVALID", `writeMany: ${problem}`, {
    hint: "Each is { path, content, mode?, mtime? }, the content a string or bytes: streams, and paths through '..', are for files.write.",
    details: { option: "files", path },
  });
}

function unreachable(path: string): never {
  throw invalid(`the content of ${showPath(path)} has changed`, path);
}
