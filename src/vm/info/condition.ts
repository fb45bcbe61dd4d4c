import type { VmState } from "../../store/states.ts";
import { openHome } from "../home.ts";
import type { VmRef } from "../recovery/deleted.ts";
import { recover } from "../recovery/recover.ts";
import type { VMInfo } from "./info.ts";

/** What tells whether a sandbox can be used. */
export interface Condition extends VmRef, Pick<VMInfo, "error" | "autoStart"> {
  readonly state: VmState;
}

/**
 * The condition that a sandbox really is in: all that many commands ask of it, and a millisecond less than all that is known about it.
 * @throws SmolVMError VM_NOT_FOUND
 */
export async function conditionOf(idOrName: string): Promise<Condition> {
  const home = openHome();
  const { id, name, state, error, spec } = await recover(home, home.store.vms.get(idOrName));
  return {
    id,
    name,
    state,
    error: state === "error" ? error : undefined,
    autoStart: spec.autoStart ?? false,
  };
}
