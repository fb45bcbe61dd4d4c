import { SmolVMError } from "../../errors.ts";
import type { Deadline } from "../../util/deadline.ts";
import { call } from "../session/call.ts";
import type { AgentSession } from "../session/session.ts";
import { FileInfo } from "../wire/messages.ts";
import { RecordDecoder } from "../wire/records.ts";
import { decode } from "../wire/schema.ts";
import { entryPathProblem, MAX_DEPTH, unsafe } from "./entry-path.ts";
import { entryInfo } from "./file-info.ts";
import { guestPath, guestUser, locatedAt, showPath } from "./guest-path.ts";
import { olderAgent } from "./older-agent.ts";
import type { FileOptions, GuestFileInfo } from "./types.ts";

/** Most of a listing that is taken from a guest. */
const MAX_BYTES = 256 * 1024 * 1024;
const MAX_ENTRIES = 1_000_000;

/** Options of `list`. */
export interface ListOptions extends FileOptions {
  /** levels: 1 what is in the directory, 2 also what is in the directories in it, and so on to 256. Default 1 */
  depth?: number | undefined;
}

/** Lists a directory of the guest; see {@link GuestFiles.list}. */
export async function list(
  session: AgentSession,
  path: string,
  options: ListOptions,
  deadline: Deadline,
): Promise<GuestFileInfo[]> {
  const { depth = 1 } = options;
  const found: ReturnType<typeof entryInfo>[] = [];
  let bytes = 0;
  const records = new RecordDecoder((record) => {
    const info = decode(FileInfo, record);
    const problem = entryProblem(info.path, depth);
    if (problem !== undefined) throw unsafe(info.path, problem);
    if (found.length >= MAX_ENTRIES) throw tooLong();
    found.push(entryInfo(info));
  });
  const what = `listing ${showPath(path)}`;
  const open = {
    list: { path: guestPath(path), user: guestUser(options.user), depth: depth === 1 ? 0 : depth },
  };
  const result = await call(session, { open, what, effects: false, context: "file" }, deadline, {
    data: (piece, stream) => {
      bytes += piece.length;
      if (bytes > MAX_BYTES) throw tooLong();
      records.push(piece);
      stream.grant(1, piece.length);
    },
  });
  records.finish();
  if (depth > 1 && result.depth !== depth) throw olderAgent(`${what} to a depth of ${depth}`);
  const said = Buffer.from(result.file?.path ?? []).toString("utf8");
  const directory = locatedAt(path, said).replace(/\/*$/, "/");
  // A slash that comes before all characters: what is in a directory follows it.
  const keys = new Map(found.map((info) => [info, info.path.replaceAll("/", "\0")]));
  const order = (a: GuestFileInfo, b: GuestFileInfo): number => (keys.get(a)! < keys.get(b)! ? -1 : 1);
  found.sort(order);
  for (const info of found) info.path = directory + info.path;
  return found;
}

/** Checked before anything is asked of the guest. @throws SmolVMError CONFIG_INVALID */
export function checkDepth(depth: unknown): void {
  if (depth === undefined || (Number.isInteger(depth) && Number(depth) >= 1 && Number(depth) <= MAX_DEPTH))
    return;
  throw new SmolVMError("CONFIG_INVALID", `depth: ${String(depth)} is not a number of levels`, {
    hint: `Give a whole number from 1 to ${MAX_DEPTH}.`,
    details: { option: "depth" },
  });
}

function entryProblem(path: Uint8Array, depth: number): string | undefined {
  const levels = path.reduce((slashes, byte) => (byte === 0x2f ? slashes + 1 : slashes), 1);
  if (levels > depth) return depth === 1 ? "has a slash in its name" : `is deeper than ${depth} levels`;
  return entryPathProblem(path, "linux");
}

function tooLong(): SmolVMError {
  const limit = `${MAX_ENTRIES} entries or ${MAX_BYTES} bytes`;
  return new SmolVMError("FILE_UNSAFE", `the sandbox lists more than ${limit}`, {
    hint: "List it in the sandbox instead: run(['find', path])",
  });
}
