import { expandText, type Lookup, rawWords, WordError } from "../../images/dockerfile/words.ts";

/** What an ARG declares: names, and defaults where there are some. Pure. @throws WordError */
export function declared(text: string, escaping: string, lookup: Lookup): [string, string | undefined][] {
  return written(text, escaping).map(([name, value]) => [
    name,
    value === undefined ? undefined : expandText(value, escaping, lookup),
  ]);
}

/** The names that an ARG declares; none of one that is wrong, which is told where its stage is built. Pure. */
export function namesDeclared(text: string, escaping: string): string[] {
  try {
    return written(text, escaping).map(([name]) => name);
  } catch (error) {
    if (error instanceof WordError) return [];
    throw error;
  }
}

/** Names, and defaults as they stand there. */
function written(text: string, escaping: string): [string, string | undefined][] {
  return rawWords(text, escaping).map((word) => {
    const equals = word.indexOf("=");
    const name = equals < 0 ? word : word.slice(0, equals);
    if (!/^[A-Za-z_]\w*$/.test(name)) throw new WordError(`ARG takes NAME or NAME=value, not '${word}'`);
    return [name, equals < 0 ? undefined : word.slice(equals + 1)];
  });
}
