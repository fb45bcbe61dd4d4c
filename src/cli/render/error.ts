import { asSmolVMError } from "./json.ts";
import type { Paint } from "./paint.ts";
import { visibleLines } from "./visible.ts";

/**
 * An error as a person reads it: what happened, then what to do. Pure. Ends with a newline.
 * @param verbose adds code, details, stack and causes
 */
export function renderError(error: unknown, options: { paint: Paint; verbose: boolean }): string {
  const { paint, verbose } = options;
  const known = asSmolVMError(error);
  const lines = [
    `${paint.red("error:")} ${visibleLines(known.message)}`,
    `${paint.bold("hint:")} ${visibleLines(known.hint)}`,
  ];
  if (verbose) {
    lines.push(`code: ${known.code}`);
    if (Object.keys(known.details).length > 0) lines.push(`details: ${visibleLines(toJson(known.details))}`);
    if (known.stack !== undefined) lines.push(visibleLines(known.stack));
    for (let cause = known.cause; cause !== undefined; cause = (cause as { cause?: unknown }).cause) {
      lines.push(
        `caused by: ${visibleLines(cause instanceof Error ? (cause.stack ?? cause.message) : String(cause))}`,
      );
      if (!(cause instanceof Error)) break;
    }
  }
  return `${lines.join("\n")}\n`;
}

function toJson(value: unknown): string {
  try {
    return JSON.stringify(value, null, 2);
  } catch {
    return String(value); // circular or a BigInt
  }
}
