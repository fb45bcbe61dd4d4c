import { SmolVMError } from "../../errors.ts";
import { escapeTerminal } from "../../util/escape-terminal.ts";
import { shown } from "../../util/shown.ts";
import { violation } from "../wire/violation.ts";

/** Linux's PATH_MAX, with the final NUL (limits.h). */
const PATH_MAX = 4096;

/** A guest path as an error names it. */
export function showPath(path: string | Uint8Array): string {
  const text: unknown = path instanceof Uint8Array ? Buffer.from(path).toString("utf8") : path;
  return typeof text === "string" ? `'${escapeTerminal(text, 300)}'` : shown(text);
}

/** Where relative paths of a sandbox are, which is where its commands run. */
export interface Place {
  /** its working directory; undefined: a home */
  readonly workdir?: string | undefined;
  /** whose home, if a call names no user; default root's */
  readonly user?: string | undefined;
}

/**
 * A path that the user gave as the guest is asked for it: absolute, or in a home, which only the guest knows (PROTOCOL.md: `~USER/`). Pure.
 * @param user who acts, if the call says so
 */
export function locate(path: string, place: Place, user?: string): string {
  if (path.startsWith("/")) return path;
  const names = path.split("/").filter((name) => name !== "" && name !== ".");
  const slash = names.length > 0 && /\/\.?$/.test(path) ? "/" : ""; // "a/" is a directory
  const below = names.join("/") + slash;
  if (place.workdir === undefined) return `~${user === undefined ? (place.user ?? "") : ""}/${below}`;
  if (below === "") return place.workdir;
  return `${place.workdir.replace(/\/+$/, "")}/${below}`;
}

/**
 * What a guest says is the absolute path of a located one. Pure.
 * @throws SmolVMError AGENT_PROTOCOL for one that it cannot be
 */
export function locatedAt(path: string, said: string): string {
  if (path.startsWith("/")) return path;
  const below = path.slice(path.indexOf("/"));
  if (!said.startsWith("/") || (below !== "/" && !said.endsWith(below)) || said.includes("\0"))
    throw violation("another path than it was asked for");
  return said;
}

/**
 * The bytes of a guest path that the user gave.
 *
 * @throws SmolVMError CONFIG_INVALID if it is empty, has a NUL or is not shorter than 4,096 bytes
 */
export function guestPath(path: string): Buffer {
  const problem = typeof path !== "string" ? "is not a string" : pathProblem(path);
  if (problem !== undefined) {
    throw new SmolVMError("CONFIG_INVALID", `the path in the sandbox ${showPath(path)} ${problem}`, {
      hint: "Give an absolute path, such as /root/file, or one in the sandbox's working directory.",
    });
  }
  return Buffer.from(path);
}

function pathProblem(path: string): string | undefined {
  if (path === "") return "is empty";
  if (path.includes("\0")) return "holds a NUL character";
  if (Buffer.byteLength(path) >= PATH_MAX) return `is longer than ${PATH_MAX - 1} bytes`;
  return undefined;
}

/** The bytes of a guest user's name, or undefined for the default. @throws SmolVMError CONFIG_INVALID */
export function guestUser(user: string | undefined): Buffer | undefined {
  if (user === undefined) return undefined;
  if (typeof user !== "string" || user.includes("\0") || user === "") {
    throw new SmolVMError("CONFIG_INVALID", `user: ${shown(user)} is not the name or number of a user`, {
      hint: 'Give a name or number, with or without a group: "nobody", "1000:1000".',
      details: { option: "user" },
    });
  }
  return Buffer.from(user);
}
