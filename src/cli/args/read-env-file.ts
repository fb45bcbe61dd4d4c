import { open } from "node:fs/promises";
import { isSmolVMError, SmolVMError } from "../../errors.ts";
import { parseEnvFile } from "./env-file.ts";
import type { EnvOptions } from "./pairs.ts";

/** Largest environment file that is read, in bytes: four times what a sandbox keeps. */
const MAX_FILE_BYTES = 1024 * 1024;

/** Reads an environment file. @throws SmolVMError USAGE, FILE_NOT_FOUND, FILE_FAILED */
export async function readEnvFile(file: string, caller: NodeJS.ProcessEnv): Promise<EnvOptions> {
  try {
    const handle = await open(file); // may also be a pipe: <(pass show env)
    try {
      const content = Buffer.alloc(MAX_FILE_BYTES + 1);
      let bytes = 0;
      for (let read = 1; read > 0 && bytes < content.length; bytes += read) {
        read = (await handle.read(content, bytes, content.length - bytes, null)).bytesRead;
      }
      if (bytes > MAX_FILE_BYTES)
        throw new SmolVMError("USAGE", `--env-file: '${file}' is longer than ${MAX_FILE_BYTES} bytes`);
      // Node takes --env-file, wherever it stands, for an option of its own too, and reads the file before us
      // (nodejs/node#54232): a pipe is empty then, and leaving its variables out would be a nasty surprise.
      if (bytes === 0 && !(await handle.stat()).isFile()) {
        throw new SmolVMError("USAGE", `--env-file: nothing came from '${file}'`, {
          hint: "Node.js itself may have read it, if it is a pipe: write it to a file first.",
        });
      }
      return parseEnvFile(content.subarray(0, bytes), file, caller);
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (isSmolVMError(error)) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    throw code === "ENOENT"
      ? new SmolVMError("FILE_NOT_FOUND", `--env-file: '${file}' does not exist`)
      : new SmolVMError("FILE_FAILED", `--env-file: '${file}' cannot be read: ${message}`, {
          details: { errno: code },
          cause: error,
        });
  }
}
