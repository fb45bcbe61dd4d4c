import { SmolVMError } from "../../errors.ts";
import type { Arguments } from "../arguments.ts";

const MS_PER_UNIT: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** The longest time that a limit may be: what a Node timer can hold, 2^31 - 1 ms (about 24 days). */
const MAX_LIMIT_MS = 2 ** 31 - 1;

/**
 * Reads a time such as `2s`, `500ms`, `1.5h` or `1m30s` in milliseconds. Pure.
 * @param maxMs the longest that is accepted; Infinity leaves it to the library
 * @throws SmolVMError USAGE
 */
export function parseDurationMs(option: string, text: string, maxMs: number = MAX_LIMIT_MS): number {
  const wrong = (problem: string, hint: string): SmolVMError =>
    new SmolVMError("USAGE", `${option}: '${text}' ${problem}`, { hint });
  if (/^\d+(\.\d+)?$/.test(text)) {
    throw wrong("has no unit", `Say which you mean: ${option} ${text}s or ${option} ${text}ms`);
  }
  const example = `Write a number with ms, s, m, h or d: ${option} 2s`;
  if (!/^(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+$/i.test(text)) throw wrong("is not a time", example);
  let ms = 0;
  for (const [, number, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/gi)) {
    ms += Number(number) * MS_PER_UNIT[unit!.toLowerCase()]!;
  }
  ms = Math.round(ms);
  if (ms === 0) throw wrong("is no time at all", example);
  if (ms > maxMs) throw wrong("is too long", `The most is 24 days: ${option} 24d`);
  return ms;
}

/** What --timeout says, in milliseconds; undefined if it was not given. @throws SmolVMError USAGE */
export function timeoutOption(args: Arguments): number | undefined {
  const text = args.value("timeout");
  return text === undefined ? undefined : parseDurationMs("--timeout", text);
}
