import { readFileSync } from "node:fs";
import { SmolVMError } from "../../errors.ts";

/**
 * A small file of the store's, or undefined if there is none. Read at once: every sandbox that is made reads some, and the
 * four steps of an asynchronous read take many times as long as what they do.
 * @throws SmolVMError HOST_FAILED
 */
export function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw new SmolVMError("HOST_FAILED", `'${path}' cannot be read: ${(error as Error).message}`, {
      cause: error,
    });
  }
}
