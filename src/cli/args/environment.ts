import { isSmolVMError, SmolVMError } from "../../errors.ts";
import type { Arguments } from "../arguments.ts";
import type { Io } from "../io.ts";
import { type EnvOptions, parseEnv } from "./pairs.ts";

/** Largest environment file that is read, in bytes: four times what a sandbox keeps. */
const MAX_FILE_BYTES = 1024 * 1024;

/**
 * What `--env-file` and, over it, `--env` say, and a note for each name that has no value here. Undefined if there is none.
 * @throws SmolVMError USAGE, FILE_NOT_FOUND, FILE_FAILED
 */
export async function environment(
  io: Pick<Io, "env" | "note">,
  args: Arguments,
): Promise<Record<string, string> | undefined> {
  const files = args.values("env-file");
  const pairs = args.values("env");
  if (files.length === 0 && pairs.length === 0) return undefined;
  const fromFiles = await envFiles(io, files);
  const given = parseEnv(pairs, io.env);
  for (const name of given.unset) noteUnset(io, name, `--env ${name}`);
  return { ...fromFiles, ...given.env };
}

/** What environment files say, later ones over earlier ones. @throws SmolVMError as {@link environment} */
export async function envFiles(
  io: Pick<Io, "env" | "note">,
  files: readonly string[],
): Promise<Record<string, string>> {
  let all: Record<string, string> = {};
  for (const file of files) {
    const { env, unset } = await readEnvFile(file, io.env);
    for (const name of unset) noteUnset(io, name, `${name} in ${file}`);
    all = { ...all, ...env };
  }
  return all;
}

/** A name without a value here is left out, as Docker does, but not silently. */
function noteUnset(io: Pick<Io, "note">, name: string, what: string): void {
  io.note(`note: ${name} is not set here, so ${what} sets nothing`);
}

async function readEnvFile(file: string, caller: NodeJS.ProcessEnv): Promise<EnvOptions> {
  const [{ open }, { parseEnvFile }] = await Promise.all([
    import("node:fs/promises"),
    import("./env-file.ts"),
  ]);
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
