import { type PatternPart, replaced, without } from "./pattern.ts";

/** Values of variables by their names; undefined: there is none. */
export type Lookup = (name: string) => string | undefined;

/** What is wrong with words, to be told with the line that they are on. */
export class WordError extends Error {}

const NAME = /^[A-Za-z_]\w*/;
/** Most that variables make of one text: a few lines, each twice the one before it, would take all memory. */
const MAX_EXPANDED = 1024 * 1024;
const MAX_DEPTH = 100;

/**
 * Splits text into words as a Dockerfile has them, by spaces outside of quotes; variables are replaced, quotes and escapes taken away. Pure.
 * @param escaping the file's escape character
 * @throws WordError for quotes that do not end, and for what is no variable
 */
export function splitWords(text: string, escaping: string, lookup: Lookup): string[] {
  const words: string[] = [];
  let word: string | undefined;
  const reader = new Reader(text, escaping, lookup);
  while (!reader.atEnd) {
    if (/\s/.test(reader.peek)) {
      if (word !== undefined) words.push(word);
      word = undefined;
      reader.skip(1);
    } else word = (word ?? "") + reader.piece();
  }
  if (word !== undefined) words.push(word);
  return words;
}

/** Replaces the variables in text, and takes quotes and escapes away. Pure. @throws WordError */
export function expandText(text: string, escaping: string, lookup: Lookup): string {
  const reader = new Reader(text, escaping, lookup);
  let expanded = "";
  while (!reader.atEnd) expanded += reader.piece();
  return expanded;
}

/** Replaces the variables in text and leaves all else: of here-documents. Pure. @throws WordError */
export function expandVariables(text: string, escaping: string, lookup: Lookup): string {
  const reader = new Reader(text, escaping, lookup);
  let expanded = "";
  while (!reader.atEnd) expanded += reader.plain();
  return expanded;
}

/** Words and their quotes as they are: `a="b c" d` is two. Pure. @throws WordError */
export function rawWords(text: string, escaping: string): string[] {
  const words: string[] = [];
  let word = "";
  let quote = "";
  for (let at = 0; at < text.length; at++) {
    const char = text[at]!;
    if (quote === "" && /\s/.test(char)) {
      if (word !== "") words.push(word);
      word = "";
      continue;
    }
    word += char;
    if (char === escaping && quote !== "'" && at + 1 < text.length) word += text[++at];
    else if (char === quote) quote = "";
    else if (quote === "" && (char === '"' || char === "'")) quote = char;
  }
  if (quote !== "") throw new WordError(`a ${quote} is not closed`);
  if (word !== "") words.push(word);
  return words;
}

class Reader {
  readonly #text: string;
  readonly #escape: string;
  readonly #lookup: Lookup;
  #at = 0;
  /** characters that variables gave */
  #expanded = 0;
  /** variables in whose defaults and patterns the reader is */
  #depth = 0;

  constructor(text: string, escaping: string, lookup: Lookup) {
    this.#text = text;
    this.#escape = escaping;
    this.#lookup = lookup;
  }

  get atEnd(): boolean {
    return this.#at >= this.#text.length;
  }

  get peek(): string {
    return this.#text[this.#at]!;
  }

  skip(count: number): void {
    this.#at += count;
  }

  /** The next character, quoted text or variable. */
  piece(): string {
    const char = this.peek;
    if (char === "'") return this.#single();
    if (char === '"') return this.#double();
    if (char === this.#escape && this.#at + 1 < this.#text.length) {
      this.#at += 2;
      return this.#text[this.#at - 1]!;
    }
    return this.plain();
  }

  /** The next character or variable. */
  plain(): string {
    const char = this.peek;
    if (char === this.#escape && this.#text[this.#at + 1] === "$") {
      this.#at += 2;
      return "$";
    }
    if (char === "$") return this.#nested(() => this.#variable());
    this.#at++;
    return char;
  }

  #nested(read: () => string): string {
    if (++this.#depth > MAX_DEPTH) throw new WordError("its variables are in each other too deep");
    const value = read();
    this.#depth--;
    this.#expanded += value.length;
    if (this.#expanded > MAX_EXPANDED) throw new WordError("its variables make it longer than 1 MiB");
    return value;
  }

  #single(): string {
    const end = this.#text.indexOf("'", this.#at + 1);
    if (end < 0) throw new WordError("a ' is not closed");
    const inside = this.#text.slice(this.#at + 1, end);
    this.#at = end + 1;
    return inside;
  }

  #double(): string {
    this.#at++;
    let inside = "";
    for (;;) {
      if (this.atEnd) throw new WordError('a " is not closed');
      const char = this.peek;
      if (char === '"') {
        this.#at++;
        return inside;
      }
      const next = this.#text[this.#at + 1];
      if (char === this.#escape && next !== undefined) {
        // In quotes it takes these their meaning, and is itself before all else.
        inside += next === '"' || next === "$" || next === this.#escape ? next : char + next;
        this.#at += 2;
      } else inside += this.plain();
    }
  }

  #variable(): string {
    this.#at++;
    if (this.peek !== "{" || this.atEnd) {
      const name = NAME.exec(this.#text.slice(this.#at))?.[0];
      if (name === undefined) return "$";
      this.#at += name.length;
      return this.#lookup(name) ?? "";
    }
    this.#at++;
    const name = NAME.exec(this.#text.slice(this.#at))?.[0];
    if (name === undefined) throw new WordError("after ${ comes no name of a variable");
    this.#at += name.length;
    const operator = /^(?::?[-+?]|##?|%%?|\/\/?)/.exec(this.#text.slice(this.#at, this.#at + 2))?.[0] ?? "";
    this.#at += operator.length;
    if (operator === "" && (this.#text[this.#at] as string) !== "}")
      throw new WordError(
        `\${${name}${this.peek ?? ""}...} is not understood: there are :-, :+, :?, -, +, ?, #, ##, %, %%, / and //`,
      );
    const value = this.#lookup(name);
    switch (operator) {
      case "#":
      case "##":
        return without(value ?? "", this.#pattern(name, "}"), "start", operator.length > 1);
      case "%":
      case "%%":
        return without(value ?? "", this.#pattern(name, "}"), "end", operator.length > 1);
      case "/":
      case "//": {
        const pattern = this.#pattern(name, "/}");
        const replacement = this.#text[this.#at - 1] === "/" ? this.#untilBrace(name) : "";
        return replaced(value ?? "", pattern, replacement, {
          each: operator.length > 1,
          maxLength: MAX_EXPANDED + 1,
        });
      }
    }
    const other = this.#untilBrace(name);
    const isThere = operator.startsWith(":") ? value !== undefined && value !== "" : value !== undefined;
    switch (operator.at(-1)) {
      case "-":
        return isThere ? value! : other;
      case "+":
        return isThere ? other : "";
      case "?":
        if (!isThere) throw new WordError(`${name}: ${other === "" ? "is not set" : other}`);
        return value!;
      default:
        return value ?? "";
    }
  }

  /** A pattern, up to one of these characters and past it. In quotes and behind the escape character `?` and `*` are just that. */
  #pattern(name: string, ends: string): PatternPart[] {
    const parts: PatternPart[] = [];
    for (;;) {
      if (this.atEnd) throw new WordError(`\${${name} is not closed`);
      const char = this.peek;
      if (ends.includes(char)) {
        this.#at++;
        return parts;
      }
      const isLiteral = char === "'" || char === '"' || char === this.#escape;
      for (const one of this.piece())
        parts.push(!isLiteral && one === "*" ? "many" : !isLiteral && one === "?" ? "any" : { is: one });
    }
  }

  #untilBrace(name: string): string {
    let inside = "";
    for (;;) {
      if (this.atEnd) throw new WordError(`\${${name} is not closed`);
      if (this.peek === "}") {
        this.#at++;
        return inside;
      }
      inside += this.piece();
    }
  }
}
