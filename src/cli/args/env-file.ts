import { SmolVMError } from "../../errors.ts";
import type { EnvOptions } from "./pairs.ts";

/**
 * Reads an environment file by docker's rules: a line is NAME=VALUE, the value being taken as it is, quotes and spaces
 * included; NAME alone takes the caller's value; lines that are empty or begin with # are skipped, as is the space a line begins
 * with. The last one of a name wins. Pure.
 * @param file as typed, for errors
 * @throws SmolVMError USAGE naming the line
 */
export function parseEnvFile(content: Uint8Array, file: string, caller: NodeJS.ProcessEnv): EnvOptions {
  const env = new Map<string, string>();
  const unset = new Set<string>();
  let number = 0;
  for (const line of decoded(content, file).split("\n")) {
    number++;
    const text = line.replace(/\r$/, "").trimStart();
    if (text === "" || text.startsWith("#")) continue;
    const equals = text.indexOf("=");
    const name = equals < 0 ? text.trimEnd() : text.slice(0, equals);
    const problem = nameProblem(name);
    if (problem !== undefined) throw wrong(file, number, problem, name);
    const value = equals < 0 ? caller[name] : text.slice(equals + 1);
    if (value?.includes("\0")) throw wrong(file, number, `the value of ${name} holds a NUL character`, name);
    if (value === undefined) unset.add(name);
    else env.set(name, value);
  }
  return { env: Object.fromEntries(env), unset: [...unset].filter((name) => !env.has(name)) };
}

function decoded(content: Uint8Array, file: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(content); // also skips a byte order mark
  } catch {
    throw new SmolVMError("USAGE", `--env-file: '${file}' is not UTF-8 text`);
  }
}

function nameProblem(name: string): string | undefined {
  if (name === "") return "there is no name before '='";
  if (name.includes("\0")) return "the name holds a NUL character";
  return /\s/.test(name) ? `the name '${name}' has a space in it` : undefined;
}

function wrong(file: string, line: number, problem: string, name: string): SmolVMError {
  const shell = /^export\s/.test(name) ? "Leave 'export' out: the file is no shell script." : undefined;
  return new SmolVMError("USAGE", `--env-file: ${file}:${line}: ${problem}`, {
    hint: shell ?? "Write NAME=VALUE, or NAME alone for your own value of it.",
    details: { file, line },
  });
}
