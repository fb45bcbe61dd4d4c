import { SmolVMError } from "../errors.ts";
import { all, anyText, type Check, matching, record, text } from "./checks.ts";

/** Longest NAME=VALUE in bytes: the kernel's MAX_ARG_STRLEN (execve(2)) less the final NUL. */
const MAX_VARIABLE_BYTES: number = 128 * 1024 - 1;
/** Most bytes of all variables together: a request with a command in it takes at most 1 MiB. */
const MAX_ENV_BYTES: number = 256 * 1024;

const named = record(all(text, matching(/^[^=]*$/, "holds a '='")), anyText);

/** Checks the environment that a sandbox's commands get: names, values, and how much it is. */
export const checkEnv: Check = (value) => {
  const problem = named(value);
  if (problem) return problem;
  let total = 0;
  for (const [name, content] of Object.entries(value as Record<string, string>)) {
    const bytes = Buffer.byteLength(name) + 1 + Buffer.byteLength(content);
    if (bytes > MAX_VARIABLE_BYTES) return `has '${name}', which is longer than ${MAX_VARIABLE_BYTES} bytes`;
    total += bytes;
  }
  return total > MAX_ENV_BYTES ? `is longer than ${MAX_ENV_BYTES} bytes` : undefined;
};

/**
 * An environment with some variables changed: set, or (by undefined) gone. Pure.
 * @throws SmolVMError CONFIG_INVALID for a name or value that cannot be, and for too much; values are not repeated in it
 */
export function changedEnv(
  env: Readonly<Record<string, string>>,
  change: Readonly<Record<string, string | null | undefined>>,
): Record<string, string> {
  const invalid = (problem: string): SmolVMError =>
    new SmolVMError("CONFIG_INVALID", `the environment ${problem}`, { details: { option: "env" } });
  if (typeof change !== "object" || change === null) throw invalid("is not an object of names and values");
  const variables = new Map<string, string | null>(Object.entries(env));
  for (const [name, value] of Object.entries(change)) {
    if (value === undefined) variables.delete(name);
    else variables.set(name, value);
  }
  const changed = Object.fromEntries(variables);
  const problem = checkEnv(changed);
  if (problem) throw invalid(problem);
  return changed as Record<string, string>;
}
