const MAX_LENGTH = 80;

/** A value as it stands in a message, shortened: who calls without types gives anything, a symbol or a bigint too. Pure. */
export function shown(value: unknown): string {
  if (typeof value === "number") return String(value); // JSON has neither NaN nor Infinity
  try {
    return (JSON.stringify(value) ?? String(value)).slice(0, MAX_LENGTH);
  } catch {
    // It holds itself, or what JSON has not.
    return typeof value === "object" ? "an object" : String(value).slice(0, MAX_LENGTH);
  }
}
