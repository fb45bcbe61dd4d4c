import { SmolVMError } from "../errors.ts";
import { nearest } from "./nearest.ts";

/**
 * Refuses what is no object of options, and gives back what is one.
 * @throws SmolVMError CONFIG_INVALID
 */
export function requireObject<Options>(options: Options): Options & object {
  if (typeof options === "object" && options !== null && !Array.isArray(options)) return options;
  throw new SmolVMError("CONFIG_INVALID", "options: is not an object", {
    hint: "Give an object, such as { timeoutMs: 5000 }, or leave it out.",
    details: { option: "options" },
  });
}

/**
 * Refuses options that nobody knows: a misspelt `timeout` would be a limit that is never kept.
 * @param known every option that the call has
 * @throws SmolVMError CONFIG_INVALID with the nearest known one
 */
export function checkNames(options: unknown, known: readonly string[]): void {
  const unknown = Object.keys(requireObject(options)).find((name) => !known.includes(name));
  if (unknown === undefined) return;
  const near = nearest(unknown, known);
  throw new SmolVMError("CONFIG_INVALID", `unknown option '${unknown}'`, {
    hint: near ? `Did you mean '${near}'?` : `Known options: ${known.join(", ")}.`,
    details: { option: unknown },
  });
}
