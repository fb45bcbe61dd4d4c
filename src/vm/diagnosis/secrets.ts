/*
 * What of a sandbox may be a secret, and how it is taken out of what others will read. Pure.
 */

export const HIDDEN = "(hidden)";

/** Shorter values are not looked for in texts: "1" is everywhere. Where a value has a place of its own it is hidden whatever its length. */
const MIN_SECRET_CHARS = 4;

/** Values that must not appear, longest first: one may hold another. */
export function secretsOf({
  env,
  bootArgs,
}: {
  readonly env: Readonly<Record<string, string>>;
  readonly bootArgs: string;
}): string[] {
  const arguments_ = bootArgs.split(/\s+/).flatMap((word) => {
    const at = word.indexOf("=");
    return at < 0 ? [] : [word.slice(at + 1), word.slice(at + 1).replaceAll('"', "")];
  });
  // A value of several lines meets us line by line.
  const values = [...Object.values(env), ...arguments_].flatMap((value) => [
    value,
    ...value.split(/[\r\n]+/),
  ]);
  return [...new Set(values)]
    .filter((value) => value.trim().length >= MIN_SECRET_CHARS)
    .sort((a, b) => b.length - a.length);
}

/** The text without the secrets. */
export function scrubText(text: string, secrets: readonly string[]): string {
  return secrets.reduce((rest, secret) => rest.replaceAll(secret, HIDDEN), text);
}

/** The same for everything that JSON can hold. */
export function scrub(value: unknown, secrets: readonly string[]): unknown {
  if (typeof value === "string") return scrubText(value, secrets);
  if (Array.isArray(value)) return value.map((item) => scrub(item, secrets));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, scrub(item, secrets)]));
}

/** Words `name=value` with their values hidden. */
export function hideValues(words: string): string {
  return words
    .split(/\s+/)
    .map((word) => (word.includes("=") ? `${word.slice(0, word.indexOf("="))}=${HIDDEN}` : word))
    .join(" ");
}
