import { SmolVMError } from "../../errors.ts";
import type { VmRecord } from "../../store/vms.ts";
import type { Home } from "../home.ts";
import { recover } from "./recover.ts";

/** The record of a sandbox that really runs. @throws SmolVMError VM_NOT_FOUND, VM_STATE with the exact start command */
export async function requireRunning(home: Home, id: string): Promise<VmRecord> {
  const record = await recover(home, home.store.vms.get(id));
  if (record.state === "running") return record;
  throw new SmolVMError("VM_STATE", `sandbox '${record.name}' is ${record.state}, not running`, {
    hint: `Start it: smolvm start ${record.name}`,
    details: { state: record.state, error: record.error },
  });
}
