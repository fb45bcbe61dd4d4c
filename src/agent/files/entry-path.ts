import { SmolVMError } from "../../errors.ts";
import { showPath } from "./guest-path.ts";

/** Which names the host's file systems can hold: Linux any bytes, macOS text, Windows text with many exceptions. */
export type NameRules = "linux" | "darwin" | "win32";

/** PROTOCOL.md, "Files": the longest path of a tree, in bytes, and its most components. */
const MAX_PATH = 4096;
export const MAX_DEPTH = 256;
/** NAME_MAX of the file systems that matter, in bytes (limits.h). */
const MAX_NAME = 255;

// https://learn.microsoft.com/windows/win32/fileio/naming-a-file
const WINDOWS_RESERVED = /^(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(\..*)?$/i;
const WINDOWS_FORBIDDEN = /[\u0000-\u001f<>:"|?*\\]/;

const SLASH = 0x2f;
const BACKSLASH = 0x5c;
const COLON = 0x3a;

/** The error for an entry that the guest sent and that must not be written, its name escaped. */
export function unsafe(path: string | Uint8Array, why: string): SmolVMError {
  return new SmolVMError(
    "FILE_UNSAFE",
    `the sandbox sent an entry that is refused: ${showPath(path)} ${why}`,
    {
      hint: "Nothing was written to the target. Look at what the sandbox holds before trying again.",
      details: { entry: showPath(path).slice(1, -1), reason: why },
    },
  );
}

/**
 * Checks a path that a guest gave for something below a directory of the host: what passes names a descendant of that
 * directory, whatever its bytes, as long as no symlink is followed on the way. Pure.
 *
 * @param path relative, components separated by `/`
 * @throws SmolVMError FILE_UNSAFE
 */
export function checkEntryPath(path: Uint8Array, rules: NameRules): void {
  const problem = entryPathProblem(path, rules);
  if (problem !== undefined) throw unsafe(path, problem);
}

/** What is wrong with a path for something below a directory, or undefined. Pure. */
export function entryPathProblem(path: Uint8Array, rules: NameRules): string | undefined {
  if (path.length === 0) return "has no name";
  if (path.length > MAX_PATH) return `has a path of ${path.length} bytes (at most ${MAX_PATH})`;
  let start = 0;
  let depth = 0;
  for (let at = 0; at <= path.length; at++) {
    const byte = path[at];
    if (byte !== undefined && byte !== SLASH) continue;
    depth++;
    if (depth > MAX_DEPTH) return `is more than ${MAX_DEPTH} directories deep`;
    const problem = nameProblem(path.subarray(start, at), rules);
    if (problem !== undefined) return problem;
    start = at + 1;
  }
  return undefined;
}

/** What is wrong with one name (without `/`), or undefined. Pure. */
function nameProblem(name: Uint8Array, rules: NameRules): string | undefined {
  if (name.length === 0) return "has an empty component in its path, or an absolute one";
  if (name.includes(0)) return "has a NUL in its name";
  if (name.length > MAX_NAME) return `has a name of ${name.length} bytes (at most ${MAX_NAME})`;
  if (name[0] === 0x2e && (name.length === 1 || (name.length === 2 && name[1] === 0x2e))) {
    return "has '.' or '..' in its path";
  }
  if (rules === "linux") return undefined;
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(name);
  } catch {
    return "has a name that is not UTF-8, which this system cannot hold";
  }
  return rules === "darwin" ? undefined : windowsNameProblem(text);
}

/** What of one name (without `/`) Windows cannot hold, or would take for another, or undefined. Pure. */
export function windowsNameProblem(text: string): string | undefined {
  if (WINDOWS_FORBIDDEN.test(text)) return "has a character in its name that Windows does not allow";
  if (WINDOWS_RESERVED.test(text)) return "has a name that is a device on Windows";
  if (/[. ]$/.test(text)) return "has a name that ends in a dot or space, which Windows drops";
  return undefined;
}

/**
 * Whether a symlink leads to somewhere inside the tree it is in. Its target must be relative; its leading `..` may climb to
 * the tree's root at most (the directories above it are real ones), and no `..` may follow a name: that name might be a
 * symlink itself, and then `..` leads elsewhere than it reads. Pure.
 *
 * @param path of the symlink, checked by {@link checkEntryPath}
 */
export function staysInside(path: Uint8Array, target: Uint8Array, rules: NameRules): boolean {
  if (target.length === 0 || target.length > MAX_PATH || target[0] === SLASH || target.includes(0))
    return false;
  if (rules === "win32" && (target.includes(BACKSLASH) || target.includes(COLON))) return false;
  let climb = 0;
  let named = false;
  for (const part of Buffer.from(target).toString("latin1").split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") named = true;
    else if (named) return false;
    else climb++;
  }
  let depth = 0;
  for (const byte of path) if (byte === SLASH) depth++;
  return climb <= depth;
}
