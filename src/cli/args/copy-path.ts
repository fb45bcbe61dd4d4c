import { SmolVMError } from "../../errors.ts";

/** One side of `cp`: a path on this machine or in a sandbox, or (`-`) a tar stream. */
export type CopyPath =
  | { readonly kind: "stream"; readonly path: "-" }
  | { readonly kind: "host"; readonly path: string }
  | { readonly kind: "guest"; readonly name: string; readonly path: string };

/**
 * Reads `-`, `PATH` or `NAME:PATH`. What begins with `/`, `./` or `../` is a path on this machine, whatever colons
 * follow; on Windows so is `C:\...` (one letter, then a backslash or slash), and what begins with a backslash. Pure.
 * @throws SmolVMError USAGE
 */
export function parseCopyPath(text: string, platform: NodeJS.Platform): CopyPath {
  if (text === "-") return { kind: "stream", path: "-" };
  const colon = text.indexOf(":");
  const isDrive = platform === "win32" && /^(?:[A-Za-z]:[\\/]|\.?\.?\\)/.test(text);
  const isHost = colon < 0 || /^[./]/.test(text) || isDrive;
  if (isHost) {
    if (text === "") throw new SmolVMError("USAGE", "cp: a path is empty");
    return { kind: "host", path: text };
  }
  const name = text.slice(0, colon);
  const path = text.slice(colon + 1);
  if (name === "") {
    throw new SmolVMError("USAGE", `cp: '${text}' names no sandbox`, { hint: "Write NAME:/path/in/sandbox" });
  }
  if (path === "") {
    throw new SmolVMError("USAGE", `cp: '${text}': the path in the sandbox is empty`, {
      hint: `Its working directory is ${name}:. and its root ${name}:/`,
    });
  }
  return { kind: "guest", name, path };
}
