import { SmolVMError } from "../errors.ts";

/**
 * A check of one value: returns what is wrong with it as the end of a sentence ("is more than 32"), or undefined.
 * A handful of these is all the validation there is; loading a schema library would cost each command about 100 ms.
 */
export type Check = (value: unknown) => string | undefined;

export const wholeNumber =
  (min: number, max: number): Check =>
  (value) => {
    if (typeof value !== "number" || !Number.isInteger(value)) return "is not a whole number";
    if (value < min) return `is less than ${min}`;
    return value > max ? `is more than ${max}` : undefined;
  };

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

/** The CONFIG_INVALID error for one option. The value is shown, shortened. */
export function invalidOption(option: string, value: unknown, problem: string): SmolVMError {
  const shown = JSON.stringify(value)?.slice(0, 80) ?? String(value);
  return new SmolVMError("CONFIG_INVALID", `${option}: ${shown} ${problem}`, { details: { option } });
}
