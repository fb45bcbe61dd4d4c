import { SmolVMError } from "../../errors.ts";

/** What of a sandbox stays true whatever becomes of it. */
export interface VmRef {
  /** its internal id */
  readonly id: string;
  readonly name: string;
}

/** The error for a sandbox that was there, as whoever still has a handle of it is told: by its name, which is what people know. */
export function deletedError({ name }: VmRef): SmolVMError {
  return new SmolVMError("VM_NOT_FOUND", `sandbox '${name}' was deleted`, {
    hint: "List those that there are: smolvm ls",
  });
}
