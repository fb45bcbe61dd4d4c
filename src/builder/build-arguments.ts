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

/** The build arguments that were given, and which of them are declared: by the file, or so far by what an image has for those made of it. */
export class BuildArguments {
  readonly #given: ReadonlyMap<string, string>;
  readonly #declared: Set<string>;

  /** @param declared by the file */
  constructor(given: ReadonlyMap<string, string>, declared: ReadonlySet<string>) {
    this.#given = given;
    this.#declared = new Set(declared);
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
