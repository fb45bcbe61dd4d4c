import { requireOption } from "../../config/checks.ts";
import { checkTtl } from "../../config/schema.ts";
import { SmolVMError } from "../../errors.ts";
import type { Deadline } from "../../util/deadline.ts";
import type { Home } from "../home.ts";
import { deletedError, type VmRef } from "../recovery/deleted.ts";
import { recover } from "../recovery/recover.ts";
import { tellSupervisor } from "../supervisor/duties.ts";
import { ensureSupervisor } from "../supervisor/ensure.ts";
import { expireLater } from "./expire.ts";
import { isOwned } from "./owned.ts";

/** A time to live, in ms, or that it has no end. */
export type Ttl = number | "off";

/** @throws SmolVMError CONFIG_INVALID */
export function requireTtl(ttl: Ttl): void {
  if (ttl !== "off") requireOption("ttlMs", ttl, checkTtl);
}

/**
 * Changes when a sandbox is removed: so long from now, or never.
 * @throws SmolVMError VM_NOT_FOUND, also when its time is over; VM_STATE if it belongs to another process; NOT_SUPPORTED, HOST_FAILED, TIMEOUT,
 *   ABORTED where a supervisor is needed and none comes
 */
export async function changeTtl(home: Home, vm: VmRef, ttl: Ttl, deadline: Deadline): Promise<void> {
  const { vms } = home.store;
  const found = vms.find(vm.id);
  if (!found) throw deletedError(vm);
  const { owner } = await recover(home, found);
  if (owner !== undefined && !isOwned(vm.id)) throw notOurs(vm, owner.pid);
  if (owner === undefined && ttl !== "off") await ensureSupervisor(home, deadline);
  const now = Date.now();
  const expiresAt = ttl === "off" ? undefined : now + ttl;
  if (!vms.setExpiry(vm.id, expiresAt, now)) throw deletedError(vm);
  if (owner !== undefined) expireLater(home, vm.id, expiresAt);
  else await tellSupervisor(home);
}

/** Its owner waits for the end of its time, and would not hear of another one. */
function notOurs({ name }: VmRef, pid: number): SmolVMError {
  return new SmolVMError(
    "VM_STATE",
    `sandbox '${name}' belongs to process ${pid}, and so does its time to live`,
    {
      hint: `Call setTtl in that process, or create the sandbox with lifetime "detached": smolvm create --ttl TIME`,
      details: { owner: pid },
    },
  );
}
