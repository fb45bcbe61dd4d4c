import { SmolVMError } from "../../errors.ts";
import { escapeTerminal } from "../../util/escape-terminal.ts";

/** Linux's PATH_MAX, with the final NUL (limits.h). */
const PATH_MAX = 4096;

/** A guest path as an error names it. */
export function showPath(path: string | Uint8Array): string {
  return `'${escapeTerminal(typeof path === "string" ? path : Buffer.from(path).toString("utf8"), 300)}'`;
}

/**
 * The bytes of a guest path that the user gave.
 *
 * @throws SmolVMError CONFIG_INVALID unless it is absolute, without NUL and shorter than 4,096 bytes
 */
export function guestPath(path: string): Buffer {
  const problem = typeof path !== "string" ? "is not a string" : pathProblem(path);
  if (problem !== undefined) {
    throw new SmolVMError("CONFIG_INVALID", `the path in the sandbox ${showPath(String(path))} ${problem}`, {
      hint: "Give an absolute path, such as /root/file.",
    });
  }
  return Buffer.from(path);
}

function pathProblem(path: string): string | undefined {
  if (!path.startsWith("/")) return "is not absolute";
  if (path.includes("\0")) return "holds a NUL character";
  if (Buffer.byteLength(path) >= PATH_MAX) return `is longer than ${PATH_MAX - 1} bytes`;
  return undefined;
}

/** The bytes of a guest user's name, or undefined for the default. @throws SmolVMError CONFIG_INVALID */
export function guestUser(user: string | undefined): Buffer | undefined {
  if (user === undefined) return undefined;
  if (typeof user !== "string" || user.includes("\0") || user === "") {
    throw new SmolVMError(
      "CONFIG_INVALID",
      `user: ${JSON.stringify(user)} is not the name or number of a user`,
      {
        hint: 'Give a name or number, with or without a group: "nobody", "1000:1000".',
        details: { option: "user" },
      },
    );
  }
  return Buffer.from(user);
}
