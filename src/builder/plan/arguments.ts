import { expandText, type Lookup, rawWords, WordError } from "../../images/dockerfile/words.ts";

/** What every step may be given without being declared, and what no key depends on. */
const PROXIES: readonly string[] = [
  "HTTP_PROXY",
  "HTTPS_PROXY",
  "FTP_PROXY",
  "NO_PROXY",
  "ALL_PROXY",
].flatMap((name) => [name, name.toLowerCase()]);

export function isProxy(name: string): boolean {
  return PROXIES.includes(name);
}

/** The build arguments that were given, and which of them stages have declared so far. */
export class BuildArguments {
  readonly #given: ReadonlyMap<string, string>;
  readonly #declared = new Set<string>();

  constructor(given: ReadonlyMap<string, string>) {
    this.#given = given;
  }

  /** The value that was given for what a stage declares. */
  declare(name: string): string | undefined {
    this.#declared.add(name);
    return this.#given.get(name);
  }

  get undeclared(): string[] {
    return [...this.#given.keys()].filter((name) => !this.#declared.has(name) && !isProxy(name));
  }

  get proxies(): [string, string][] {
    return PROXIES.flatMap((name): [string, string][] => {
      const value = this.#given.get(name);
      return value === undefined ? [] : [[name, value]];
    });
  }
}

/** What an ARG declares: names, and defaults where there are some. Pure. @throws WordError */
export function declared(text: string, escaping: string, lookup: Lookup): [string, string | undefined][] {
  return rawWords(text, escaping).map((word) => {
    const equals = word.indexOf("=");
    const variable = equals < 0 ? word : word.slice(0, equals);
    if (!/^[A-Za-z_]\w*$/.test(variable)) throw new WordError(`ARG takes NAME or NAME=value, not '${word}'`);
    return [variable, equals < 0 ? undefined : expandText(word.slice(equals + 1), escaping, lookup)];
  });
}
