import { SmolVMError } from "../../errors.ts";
import { checkLimits } from "../../util/deadline.ts";
import { nearest } from "../../util/nearest.ts";
import type { ExecOptions, RunOptions, SpawnOptions } from "../types.ts";

const EXEC = ["cwd", "env", "user", "timeoutMs", "signal"] as const satisfies (keyof ExecOptions)[];
const RUN: readonly (keyof RunOptions)[] = [
  ...EXEC,
  "stdin",
  "onStdout",
  "onStderr",
  "maxOutputBytes",
  "capture",
  "check",
];
const SPAWN: readonly (keyof SpawnOptions)[] = [...EXEC, "stdin", "output", "pty", "detached"];

/**
 * Checks what of `run`'s options the request does not: an option that is not known, such as `timeout`, would be a limit
 * that is never kept.
 * @throws SmolVMError CONFIG_INVALID
 */
export function checkRunOptions(options: RunOptions): void {
  checkNames(options, RUN);
  checkLimits(options);
  for (const name of ["onStdout", "onStderr"] as const) {
    if (options[name] !== undefined && typeof options[name] !== "function")
      throw invalid(name, "is not a function");
  }
  if (options.stdin !== undefined && !isSource(options.stdin))
    throw invalid("stdin", "is neither a string, nor bytes, nor a stream or async iterable of them");
}

/** The same for `spawn`'s. @throws SmolVMError CONFIG_INVALID */
export function checkSpawnOptions(options: SpawnOptions): void {
  checkNames(options, SPAWN);
  checkLimits(options);
  for (const name of ["stdin", "output"] as const) {
    if (!["pipe", "ignore", undefined].includes(options[name]))
      throw invalid(name, 'is neither "pipe" nor "ignore"');
  }
}

function isSource(source: unknown): boolean {
  if (typeof source === "string" || source instanceof Uint8Array) return true;
  return typeof source === "object" && source !== null && Symbol.asyncIterator in source;
}

function checkNames(options: unknown, known: readonly string[]): void {
  if (typeof options !== "object" || options === null) throw invalid("options", "is not an object");
  const unknown = Object.keys(options).find((name) => !known.includes(name));
  if (unknown === undefined) return;
  const near = nearest(unknown, known);
  throw new SmolVMError("CONFIG_INVALID", `unknown option '${unknown}'`, {
    hint: near ? `Did you mean '${near}'?` : `Known options: ${known.join(", ")}.`,
    details: { option: unknown },
  });
}

function invalid(option: string, problem: string): SmolVMError {
  return new SmolVMError("CONFIG_INVALID", `${option}: ${problem}`, { details: { option } });
}
