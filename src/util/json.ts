/** What JSON can say. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

/** How deep a value may be nested; also what ends one that holds itself. */
const MAX_DEPTH = 32;

/**
 * What keeps a value from being the same after it was written as JSON, kept by SQLite and read again, as the end of a sentence ("holds NaN ..."); undefined:
 * nothing. Pure.
 */
export function jsonProblem(value: unknown, depth = 0): string | undefined {
  if (depth > MAX_DEPTH) return `is nested deeper than ${MAX_DEPTH} levels`;
  if (value === null || typeof value === "boolean") return undefined;
  if (typeof value === "string") return value.includes("\0") ? "holds a NUL character" : undefined;
  if (typeof value === "number")
    return Number.isFinite(value) ? undefined : `holds ${value}, which JSON has not`;
  if (typeof value !== "object") return `holds a value of the type ${typeof value}, which JSON has not`;
  const isArray = Array.isArray(value);
  const prototype: unknown = Object.getPrototypeOf(value);
  if (!isArray && prototype !== Object.prototype && prototype !== null)
    return `holds a ${value.constructor?.name ?? "value"} that is no plain object`;
  // Not `values`: it leaves the holes of an array out.
  const parts = isArray ? Array.from(value as unknown[]) : Object.values(value);
  for (const part of parts) {
    const problem = jsonProblem(part, depth + 1);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

/** The JSON of a value with the names of its objects in order: equal values have equal texts. Pure. */
export function canonicalJson(value: Json): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const members = Object.entries(value)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, member]) => `${JSON.stringify(name)}:${canonicalJson(member)}`);
  return `{${members.join(",")}}`;
}
