import { AgentSession } from "../../agent/session/session.ts";
import { BACKEND_FEATURES } from "../../backends/features.ts";
import { HELLO_TIMEOUT_MS } from "../../config/defaults.ts";
import { ERROR_CODES, type ErrorCode, SmolVMError } from "../../errors.ts";
import { failpoint } from "../../host/failpoint.ts";
import { isAlive } from "../../host/process/process-identity.ts";
import type { VmRecord } from "../../store/vms.ts";
import { Deadline } from "../../util/deadline.ts";
import { firstLease } from "../channel/way.ts";
import { endpointOf, type Home } from "../home.ts";
import { giveIdentity } from "../lifecycle/identity.ts";
import type { OwnOptions } from "../lifecycle/own-options.ts";
import { ownerFor } from "../lifecycle/owned.ts";
import type { Started } from "../lifecycle/start.ts";
import { firstRequest } from "../machine/first-request.ts";
import { discard } from "../recovery/recover.ts";
import { refill } from "./refill.ts";

/** Between looks whether the next one is there: the store has no way to call back, and making one takes a hundred times as long. */
const LOOK_AGAIN_MS = 5;

/**
 * Takes the sandbox that has waited longest in a pool, and gives it an identity of its own; where none waits, the next one.
 * @throws SmolVMError POOL_NOT_FOUND, VM_NAME_TAKEN, TIMEOUT, ABORTED; with none waiting, why none could be made
 */
export async function takeFromPool(
  home: Home,
  pool: string,
  { name, labels = {}, ttlMs, lifetime }: OwnOptions & { readonly name: string },
  deadline: Deadline,
): Promise<Started> {
  let told = false;
  for (;;) {
    deadline.check();
    const record = home.store.vms.takeFrom(pool, {
      name,
      labels,
      owner: ownerFor(lifetime),
      expiresAt: ttlMs === undefined ? undefined : Date.now() + ttlMs,
    });
    if (record !== undefined) {
      failpoint("after taken");
      const started = await wake(home, record, deadline);
      refill(home, pool, started === undefined);
      if (started !== undefined) return started;
      continue; // it had died: the next one
    }
    const known = home.store.pools.find(pool);
    if (known === undefined) {
      throw new SmolVMError("POOL_NOT_FOUND", `there is no pool '${pool}'`, {
        hint: `List them (smolvm pool ls), or make it: smolvm pool create --name ${pool}`,
        details: { pool },
      });
    }
    if (known.failure !== undefined) {
      const { code, message } = known.failure;
      const isCode = (text: string): text is ErrorCode => Object.hasOwn(ERROR_CODES, text);
      throw new SmolVMError(
        isCode(code) ? code : "HOST_FAILED",
        `pool '${pool}' cannot be filled: ${message}`,
      );
    }
    if (!told) refill(home, pool, true);
    told = true;
    await deadline.sleep(LOOK_AGAIN_MS);
  }
}

/** @returns undefined: it does not answer, and is gone */
async function wake(home: Home, record: VmRecord, deadline: Deadline): Promise<Started | undefined> {
  const { id, vmm } = record;
  try {
    if (vmm === undefined || !isAlive(vmm))
      throw new SmolVMError("AGENT_LOST", "it has died while it waited");
    const lease = firstLease(home, record);
    const hello = Deadline.of(`connecting to sandbox '${record.name}'`, {
      timeoutMs: Math.min(HELLO_TIMEOUT_MS, deadline.remainingMs),
      signal: deadline.signal,
    });
    const { captureEndsSessions } = BACKEND_FEATURES[record.spec.machine.backend];
    const { session } = await firstRequest(
      (isFirst) =>
        AgentSession.connect(endpointOf(home, record, lease?.port ?? 0), {
          deadline: hello,
          eager: isFirst && !captureEndsSessions,
        }),
      // Its network and its drives it has since its start.
      (reached) => giveIdentity(reached, record, { network: undefined, mounts: [] }, deadline),
    );
    home.store.vms.unlock(id);
    return { record, session, lease };
  } catch {
    await discard(home, record);
    deadline.check();
    return undefined;
  }
}
