import { SmolVMError } from "../../errors.ts";

/** The error for a gdb port of a start that has nothing to do. */
export function tooLateForGdb(name: string, gdbPort: number): SmolVMError {
  return new SmolVMError("VM_STATE", `sandbox '${name}' runs already: gdb's port is opened at its start`, {
    hint: `Start it again: smolvm stop ${name} && smolvm start --gdb ${gdbPort} ${name}`,
    details: { state: "running" },
  });
}
