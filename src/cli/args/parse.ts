import { SmolVMError } from "../../errors.ts";
import { nearest } from "../../util/nearest.ts";
import { Arguments } from "../arguments.ts";
import { type CommandSpec, invocation, type OptionSpec } from "../command.ts";

/**
 * Sorts the words after the command's name into options, operands and the guest's command line. Pure.
 * `--name value`, `--name=value`, `-n value`, `-nvalue`, `-it` and `--` are understood.
 * Written by hand: the usual argument parser took 20 ms of every `exec` to load, half of what Node itself needs.
 * @throws SmolVMError USAGE, in the words that were typed
 */
export function parseArguments(spec: CommandSpec, words: readonly string[]): Arguments {
  return new ArgumentReader(spec, words).read();
}

/** A USAGE error of that command; the hint is its usage line unless a better one is known. */
export function usage(spec: CommandSpec, message: string, hint?: string): SmolVMError {
  return new SmolVMError("USAGE", message, { hint: hint ?? `Usage: ${invocation(spec)} ${spec.usage}` });
}

class ArgumentReader {
  readonly #spec: CommandSpec;
  readonly #words: readonly string[];
  #next = 0;
  readonly #operands: string[] = [];
  readonly #values = new Map<string, string[]>();

  constructor(spec: CommandSpec, words: readonly string[]) {
    this.#spec = spec;
    this.#words = words;
  }

  read(): Arguments {
    const trailing = this.#sort();
    this.#checkCount();
    return new Arguments(this.#spec, this.#operands, trailing, this.#values);
  }

  /** Takes word after word; returns the guest's command line, which is where our own words end. */
  #sort(): readonly string[] {
    while (this.#next < this.#words.length) {
      const word = this.#words[this.#next]!;
      if (word === "--") return this.#afterDashes(this.#words.slice(this.#next + 1));
      if (word.startsWith("--")) this.#long(word);
      else if (word.startsWith("-") && word.length > 1) this.#short(word);
      else if (this.#spec.trailing && this.#operands.length === this.#spec.operands.max) {
        return this.#words.slice(this.#next);
      } else {
        this.#operands.push(word);
        this.#next++;
      }
    }
    return [];
  }

  #afterDashes(rest: readonly string[]): readonly string[] {
    // `exec -- box ls`: operands that are still missing come first
    const wanted = this.#spec.trailing ? this.#spec.operands.max - this.#operands.length : rest.length;
    this.#operands.push(...rest.slice(0, wanted));
    return rest.slice(wanted);
  }

  #long(word: string): void {
    this.#next++;
    const equals = word.indexOf("=");
    const typed = equals < 0 ? word : word.slice(0, equals);
    const option = this.#spec.options.find((candidate) => candidate.name === typed.slice(2));
    if (!option) throw this.#unknown(typed, word);
    if (option.value !== undefined) {
      this.#give(option, typed, equals < 0 ? this.#valueWord(option, typed) : word.slice(equals + 1));
    } else if (equals < 0) this.#give(option, typed, "");
    else throw usage(this.#spec, `${typed} takes no value, found '${word}'`);
  }

  #short(word: string): void {
    this.#next++;
    for (let at = 1; at < word.length; at++) {
      const typed = `-${word[at]}`;
      const option = this.#spec.options.find((candidate) => candidate.short === word[at]);
      if (!option) throw this.#unknown(typed, word);
      if (option.value === undefined) {
        this.#give(option, typed, "");
        continue;
      }
      const attached = word.slice(at + 1).replace(/^=/, "");
      this.#give(option, typed, attached === "" ? this.#valueWord(option, typed) : attached);
      return;
    }
  }

  /** The word behind an option, as its value. One that looks like an option needs `=`: most likely the value was forgotten. */
  #valueWord(option: OptionSpec, typed: string): string {
    const value = this.#words[this.#next];
    if (value === undefined || (value.startsWith("-") && value.length > 1)) {
      const found = value === undefined ? "" : `, found '${value}'`;
      throw usage(this.#spec, `${typed} needs a value (${option.value})${found}`);
    }
    this.#next++;
    return value;
  }

  #give(option: OptionSpec, typed: string, value: string): void {
    const known = this.#values.get(option.name);
    if (!known) this.#values.set(option.name, [value]);
    else if (option.repeat) known.push(value);
    else if (option.value !== undefined) {
      throw usage(this.#spec, `${typed} is given twice: '${known[0]}' and '${value}'`);
    }
  }

  #checkCount(): void {
    if (this.#values.has("help")) return;
    const { min, max, what } = this.#spec.operands;
    if (this.#operands.length < min) throw usage(this.#spec, `${what} is missing`);
    if (this.#operands.length > max) throw usage(this.#spec, `unexpected argument '${this.#operands[max]}'`);
  }

  #unknown(typed: string, word: string): SmolVMError {
    const spec = this.#spec;
    const fixed = spec.fixed?.find(({ name, short }) => typed === `--${name}` || typed === `-${short}`);
    if (fixed) {
      return usage(
        spec,
        `${typed} is said once, when a sandbox is created: one that exists keeps what it has`,
        `Create another one: smolvm create --${fixed.name} ${fixed.value}`,
      );
    }
    const message = `unknown option '${typed}'`;
    const names = spec.options.map((option) => `--${option.name}`);
    const near = typed.startsWith("--") ? nearest(typed, names) : undefined;
    if (near) return usage(spec, message, `Did you mean ${near}?`);
    if (spec.trailing && this.#operands.length === spec.operands.max) {
      const name = this.#operands.map((operand) => ` ${operand}`).join("");
      const line = `${invocation(spec)}${name} -- PROGRAM ${word}`;
      return usage(spec, message, `If it is for the program, put it behind the program's name: ${line}`);
    }
    return usage(spec, message);
  }
}
