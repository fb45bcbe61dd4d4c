import { SmolVMError } from "../../errors.ts";

/**
 * The error for bytes that break PROTOCOL.md. What the guest sent is never quoted here: only numbers and our own words.
 *
 * @param what the broken rule, e.g. "a DATA frame beyond its credit"
 */
export function violation(what: string, details: Record<string, unknown> = {}): SmolVMError {
  return new SmolVMError("AGENT_PROTOCOL", `the guest broke the agent protocol: ${what}`, {
    hint: "The sandbox is not to be trusted any more: delete it and create a new one.",
    details,
  });
}
