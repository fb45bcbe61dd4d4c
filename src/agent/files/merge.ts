import type { Stats } from "node:fs";
import { lstat, readdir } from "node:fs/promises";
import { SmolVMError } from "../../errors.ts";
import { escapeTerminal } from "../../util/escape-terminal.ts";
import { rename } from "../../util/files-go.ts";

/** A move of one entry of the staged tree, and the directories that both sides have. */
interface Plan {
  readonly moves: { readonly from: Buffer; readonly to: Buffer }[];
  /** relative paths, as latin1, of directories that the target had before */
  readonly kept: Set<string>;
}

/**
 * Moves a staged tree into a directory that exists: files replace files and symlinks of the same name (never what those point
 * to), directories are joined, everything else stays. Conflicts are looked for first, so that they change nothing.
 *
 * @param staged a directory that we made
 * @param target a real directory
 * @returns relative paths, as latin1, of the directories that were there before
 * @throws SmolVMError FILE_TYPE where one side has a directory and the other something else; errors of the file system as they are
 */
export async function mergeInto(staged: string, target: string): Promise<ReadonlySet<string>> {
  const plan: Plan = { moves: [], kept: new Set([""]) };
  await compare(Buffer.from(`${staged}/`), Buffer.from(`${target}/`), "", plan);
  for (const { from, to } of plan.moves) await rename(from, to);
  return plan.kept;
}

async function compare(staged: Buffer, target: Buffer, relative: string, plan: Plan): Promise<void> {
  for (const entry of await readdir(staged, { encoding: "buffer", withFileTypes: true })) {
    const from = Buffer.concat([staged, entry.name]);
    const to = Buffer.concat([target, entry.name]);
    const there = await lstat(to).catch(unlessAbsent);
    if (there === undefined) {
      plan.moves.push({ from, to });
      continue;
    }
    if (entry.isDirectory() !== there.isDirectory()) throw conflict(to, there);
    if (!entry.isDirectory()) {
      plan.moves.push({ from, to });
      continue;
    }
    const path = `${relative}${relative === "" ? "" : "/"}${entry.name.toString("latin1")}`;
    plan.kept.add(path);
    const slash = Buffer.from("/");
    await compare(Buffer.concat([from, slash]), Buffer.concat([to, slash]), path, plan);
  }
}

function conflict(path: Buffer, there: Stats): SmolVMError {
  const shown = escapeTerminal(path.toString("utf8"), 300);
  const [is, comes] = there.isDirectory()
    ? ["a directory", "a file"]
    : [there.isSymbolicLink() ? "a symlink" : "no directory", "a directory"];
  return new SmolVMError(
    "FILE_TYPE",
    `'${shown}' is ${is} on this machine, and the sandbox has ${comes} there`,
    {
      hint: "Nothing was changed. Remove it, or download to another directory.",
      details: { side: "host", path: shown, errno: there.isDirectory() ? "EISDIR" : "ENOTDIR" },
    },
  );
}

function unlessAbsent(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT") throw error;
}
