import { expandText, type Lookup, rawWords, WordError } from "../../images/dockerfile/words.ts";

/** What an ARG declares: names, and defaults where there are some. Pure. @throws WordError */
export function declared(text: string, escaping: string, lookup: Lookup): [string, string | undefined][] {
  return rawWords(text, escaping).map((word) => {
    const equals = word.indexOf("=");
    const variable = equals < 0 ? word : word.slice(0, equals);
    if (!/^[A-Za-z_]\w*$/.test(variable)) throw new WordError(`ARG takes NAME or NAME=value, not '${word}'`);
    return [variable, equals < 0 ? undefined : expandText(word.slice(equals + 1), escaping, lookup)];
  });
}
