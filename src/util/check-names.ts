import { SmolVMError } from "../errors.ts";
import { nearest } from "./nearest.ts";

/**
 * Refuses options that nobody knows: a misspelt `timeout` would be a limit that is never kept.
 * @param known every option that the call has
 * @throws SmolVMError CONFIG_INVALID with the nearest known one
 */
export function checkNames(options: unknown, known: readonly string[]): void {
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw new SmolVMError("CONFIG_INVALID", "options: is not an object", { details: { option: "options" } });
  }
  const unknown = Object.keys(options).find((name) => !known.includes(name));
  if (unknown === undefined) return;
  const near = nearest(unknown, known);
  throw new SmolVMError("CONFIG_INVALID", `unknown option '${unknown}'`, {
    hint: near ? `Did you mean '${near}'?` : `Known options: ${known.join(", ")}.`,
    details: { option: unknown },
  });
}
