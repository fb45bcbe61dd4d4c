import { SmolVMError } from "../../errors.ts";
import { contentOf } from "../../util/bytes.ts";
import { limited } from "../../util/deadline.ts";
import { shown } from "../../util/shown.ts";
import type { AttachOptions, ExecOptions, KillOptions, RunOptions, SpawnOptions } from "../types.ts";

const EXEC = ["cwd", "env", "user", "limits", "ifStopped"] as const satisfies (keyof ExecOptions)[];
const RUN: readonly (keyof RunOptions)[] = [
  ...EXEC,
  "stdin",
  "onStdout",
  "onStderr",
  "maxOutputBytes",
  "overflow",
  "capture",
  "check",
];
const SPAWN: readonly (keyof SpawnOptions)[] = [...EXEC, "stdin", "stdout", "stderr", "pty", "detached"];
const ATTACH: readonly (keyof AttachOptions)[] = ["stdout", "stderr"];
const KILL: readonly (keyof KillOptions)[] = ["tree"];

const PIPE = ["pipe", "ignore"] as const;
const IF_STOPPED = ["throw", "result"] as const;
const OVERFLOW = ["stop", "keepFirst", "keepLast"] as const;

/** Checks what of `run`'s options the request does not. @throws SmolVMError CONFIG_INVALID */
export function checkRunOptions(options: RunOptions): void {
  limited(options, ...RUN);
  for (const name of ["onStdout", "onStderr"] as const) {
    if (options[name] !== undefined && typeof options[name] !== "function")
      throw invalid(name, "is not a function");
  }
  if (options.stdin !== undefined && !isSource(options.stdin))
    throw invalid("stdin", "is neither a string, nor bytes, nor a stream or async iterable of them");
  const { maxOutputBytes, capture, overflow } = options;
  if (maxOutputBytes !== undefined && !(typeof maxOutputBytes === "number" && maxOutputBytes >= 0))
    throw invalid("maxOutputBytes", `${shown(maxOutputBytes)} is not a number of bytes`);
  checkWord("ifStopped", options.ifStopped, IF_STOPPED);
  checkWord("overflow", overflow, OVERFLOW);
  if (capture === false && overflow !== undefined && overflow !== "stop")
    throw invalid("overflow", `"${overflow}" keeps output, and with capture: false none is kept`);
}

/** The same for `spawn`'s. @throws SmolVMError CONFIG_INVALID */
export function checkSpawnOptions(options: SpawnOptions): void {
  limited(options, ...SPAWN);
  for (const name of ["stdin", "stdout", "stderr"] as const) checkWord(name, options[name], PIPE);
  checkWord("ifStopped", options.ifStopped, IF_STOPPED);
}

/** The same for those of `processes.attach`. @throws SmolVMError CONFIG_INVALID */
export function checkAttachOptions(options: AttachOptions): void {
  limited(options, ...ATTACH);
  for (const name of ["stdout", "stderr"] as const) checkWord(name, options[name], PIPE);
}

/** The same for those of `kill`. @throws SmolVMError CONFIG_INVALID */
export function checkKillOptions(options: KillOptions): void {
  limited(options, ...KILL);
}

function isSource(source: unknown): boolean {
  if (contentOf(source) !== undefined) return true;
  return typeof source === "object" && source !== null && Symbol.asyncIterator in source;
}

function checkWord(option: string, value: string | undefined, known: readonly string[]): void {
  if (value === undefined || known.includes(value)) return;
  throw invalid(option, `is neither ${known.map((word) => JSON.stringify(word)).join(" nor ")}`);
}

function invalid(option: string, problem: string): SmolVMError {
  return new SmolVMError("CONFIG_INVALID", `${option}: ${problem}`, { details: { option } });
}
