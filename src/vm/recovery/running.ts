import { SmolVMError } from "../../errors.ts";
import type { VmRecord } from "../../store/vms.ts";
import type { Home } from "../home.ts";
import { deletedError, type VmRef } from "./deleted.ts";
import { recover } from "./recover.ts";

/** The record of a sandbox that really runs. @throws SmolVMError VM_NOT_FOUND, VM_STATE with the exact start command */
export async function requireRunning(home: Home, vm: VmRef): Promise<VmRecord> {
  const found = home.store.vms.find(vm.id);
  if (!found) throw deletedError(vm);
  const record = await recover(home, found);
  if (record.state === "running") return record;
  if (record.state === "deleting") throw deletedError(vm);
  if (record.state === "paused") throw pausedError(record.name);
  throw new SmolVMError("VM_STATE", `sandbox '${record.name}' is ${record.state}, not running`, {
    hint: `Start it: smolvm start ${record.name}`,
    details: { state: record.state, error: record.error },
  });
}

/** What needs a guest that was paused. */
export function pausedError(name: string): SmolVMError {
  return new SmolVMError("VM_STATE", `sandbox '${name}' is paused`, {
    hint: `Let it go on: smolvm resume ${name}`,
    details: { state: "paused" },
  });
}
