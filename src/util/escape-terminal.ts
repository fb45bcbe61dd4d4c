/*
 * What must not reach a terminal or a log as it is: C0 and C1 controls and DEL (ECMA-48), the bidirectional controls that
 * reorder what a reader sees (Unicode Standard Annex #9), line and paragraph separators, zero-width characters, the byte
 * order mark, tag characters, and lone surrogates.
 */
const UNSAFE =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]|[\ud800-\udfff]/gu;

/** Nothing in it has to be looked at: as most commands and paths are. */
const HARMLESS = /^[\x20-\x5b\x5d-\x7e]*$/;

const NAMED: Record<string, string> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/**
 * Makes a string from the guest safe to print: controls become visible escapes (`\x1b`, `\u202e`), a backslash becomes `\\`
 * so that an escape cannot be forged, and what is longer than `maxLength` is cut and ends in `…`.
 *
 * @param maxLength in UTF-16 code units of `text`; default 4,096
 */
export function escapeTerminal(text: string, maxLength = 4096): string {
  if (text.length <= maxLength && HARMLESS.test(text)) return text;
  const cut = text.length > maxLength ? `${text.slice(0, maxLength)}` : text;
  const escaped = cut.replaceAll("\\", "\\\\").replace(UNSAFE, (character) => {
    const named = NAMED[character];
    if (named !== undefined) return named;
    const code = character.codePointAt(0)!;
    if (code <= 0xff) return `\\x${code.toString(16).padStart(2, "0")}`;
    if (code <= 0xffff) return `\\u${code.toString(16).padStart(4, "0")}`;
    return `\\u{${code.toString(16)}}`;
  });
  return cut.length < text.length ? `${escaped}…` : escaped;
}
