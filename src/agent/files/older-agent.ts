import { SmolVMError } from "../../errors.ts";

/** The error for what an agent from before this version does not do. @param what the request in the user's words */
export function olderAgent(what: string, details: Record<string, unknown> = {}): SmolVMError {
  return new SmolVMError("NOT_SUPPORTED", `${what} failed: the guest's agent does not support it`, {
    hint: "The sandbox's agent is older than this smolvm: create the sandbox again.",
    details,
  });
}
