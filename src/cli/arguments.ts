import { SmolVMError } from "../errors.ts";

/** What is known here of a command: its name, and the options that it may ask for. */
interface DeclaredOptions {
  readonly name: string;
  readonly options: readonly { readonly name: string }[];
}

/** The words of one command line, sorted by {@link parseArguments}. Values are still the text that was typed. */
export class Arguments {
  readonly operands: readonly string[];
  /** the guest's command line; empty when none was given */
  readonly trailing: readonly string[];
  readonly #spec: DeclaredOptions;
  readonly #values: ReadonlyMap<string, readonly string[]>;

  constructor(
    spec: DeclaredOptions,
    operands: readonly string[],
    trailing: readonly string[],
    values: ReadonlyMap<string, readonly string[]>,
  ) {
    this.#spec = spec;
    this.operands = operands;
    this.trailing = trailing;
    this.#values = values;
  }

  /** Whether the flag was given. */
  flag(name: string): boolean {
    return this.#of(name) !== undefined;
  }

  /** The option's value, or undefined. */
  value(name: string): string | undefined {
    return this.#of(name)?.[0];
  }

  /** All values of an option that may be repeated, in the order typed. */
  values(name: string): readonly string[] {
    return this.#of(name) ?? [];
  }

  /** These arguments for who reads more options than this command has: the others were not given. */
  declaring(options: readonly { readonly name: string }[]): Arguments {
    const { name, options: own } = this.#spec;
    return new Arguments({ name, options: [...own, ...options] }, this.operands, this.trailing, this.#values);
  }

  #of(name: string): readonly string[] | undefined {
    if (!this.#spec.options.some((option) => option.name === name)) {
      throw new SmolVMError(
        "INTERNAL",
        `'${this.#spec.name}' reads the option --${name}, which it does not declare`,
      );
    }
    return this.#values.get(name);
  }
}
