import { SmolVMError } from "../errors.ts";
import { shown } from "../util/shown.ts";

/**
 * A check of one value: returns what is wrong with it as the end of a sentence ("is more than 32"), or undefined.
 * A handful of these is all the validation there is; loading a schema library would cost each command about 100 ms.
 */
export interface Check {
  (value: unknown): string | undefined;
  /** what is accepted, where the refusal does not tell all of it */
  readonly accepts?: string;
}

export function wholeNumber(min: number, max: number): Check {
  const check = (value: unknown): string | undefined => {
    if (typeof value !== "number" || !Number.isInteger(value)) return "is not a whole number";
    if (value < min) return `is less than ${min}`;
    return value > max ? `is more than ${max}` : undefined;
  };
  return Object.assign(check, { accepts: `${min} to ${max}` });
}

export const oneOf =
  (...values: readonly string[]): Check =>
  (value) =>
    values.includes(value as string) ? undefined : `is not one of ${values.join(", ")}`;

/** A non-empty string without NUL. */
export const text: Check = (value) => {
  if (typeof value !== "string") return "is not a string";
  if (value === "") return "is empty";
  return value.includes("\0") ? "contains a NUL character" : undefined;
};

export const anyText: Check = (value) => (value === "" ? undefined : text(value));

export const matching =
  (pattern: RegExp, rule: string): Check =>
  (value) =>
    typeof value === "string" && pattern.test(value) ? undefined : rule;

export const all =
  (...checks: readonly Check[]): Check =>
  (value) => {
    for (const check of checks) {
      const problem = check(value);
      if (problem) return problem;
    }
    return undefined;
  };

/** An object of names to strings. */
export const record =
  (name: Check, entry: Check): Check =>
  (value) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return "is not an object";
    for (const [key, item] of Object.entries(value)) {
      const problem = name(key);
      if (problem) return `has the name '${key}', which ${problem}`;
      const wrong = entry(item);
      if (wrong) return `has '${key}', whose value ${wrong}`;
    }
    return undefined;
  };

export const functionValue: Check = (value) =>
  typeof value === "function" ? undefined : "is not a function";

/**
 * The CONFIG_INVALID error for one option. The value is shown, shortened.
 * @param accepts see {@link Check}
 */
export function invalidOption(
  option: string,
  value: unknown,
  problem: string,
  accepts?: string,
): SmolVMError {
  return new SmolVMError("CONFIG_INVALID", `${option}: ${shown(value)} ${problem}`, {
    hint: accepts === undefined ? undefined : `Give ${accepts}.`,
    details: { option },
  });
}

/** Checks the value of one option. @throws SmolVMError CONFIG_INVALID */
export function requireOption(option: string, value: unknown, check: Check): void {
  const problem = check(value);
  if (problem !== undefined) throw invalidOption(option, value, problem, check.accepts);
}
