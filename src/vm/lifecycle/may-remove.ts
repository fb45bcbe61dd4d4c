import { SmolVMError } from "../../errors.ts";
import { STEADY, type VmState } from "../../store/states.ts";

/** Refuses to remove what runs, unless by force. @throws SmolVMError VM_STATE */
export function requireRemovable(
  sandbox: { readonly name: string; readonly state: VmState },
  force: boolean,
): void {
  const { name, state } = sandbox;
  if (!STEADY.has(state) || force) return;
  throw new SmolVMError("VM_STATE", `sandbox '${name}' is ${state}`, {
    hint: `Stop it first (smolvm stop ${name}), or remove it anyway: smolvm rm -f ${name}`,
    details: { state },
  });
}
