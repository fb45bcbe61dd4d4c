import type { Arguments } from "../arguments.ts";
import type { Io } from "../io.ts";
import { parseEnv } from "./pairs.ts";

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
    const { readEnvFile } = await import("./read-env-file.ts"); // few commands are given one
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
