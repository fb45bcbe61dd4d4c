import { SmolVMError } from "../../errors.ts";
import { entryPathProblem } from "./entry-path.ts";
import { showPath } from "./guest-path.ts";

/** The error for an entry of an archive that must not be unpacked. */
export function refusedEntry(path: Uint8Array, why: string): SmolVMError {
  return new SmolVMError(
    "FILE_UNSAFE",
    `the archive holds an entry that is refused: ${showPath(path)} ${why}`,
    {
      hint: "What came before it has been unpacked. See what the archive holds: tar -tvf FILE",
      details: { entry: showPath(path).slice(1, -1), reason: why },
    },
  );
}

/**
 * The path of an archive's entry below the directory that it is unpacked into: without leading slashes (as tar(1) does),
 * empty components and dots. Empty: that directory itself. Pure.
 * @throws SmolVMError FILE_UNSAFE for what leads out of it, or is no path
 */
export function archivePath(path: Uint8Array): Buffer {
  const parts = Buffer.from(path)
    .toString("latin1")
    .split("/")
    .filter((part) => part !== "" && part !== ".");
  const clean = Buffer.from(parts.join("/"), "latin1");
  const problem = clean.length === 0 ? undefined : entryPathProblem(clean, "linux");
  if (problem !== undefined) throw refusedEntry(path, problem);
  return clean;
}
