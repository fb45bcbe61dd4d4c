import { randomInt } from "node:crypto";
import type { GuestNetwork } from "../../config/spec.ts";
import { isSmolVMError, SmolVMError } from "../../errors.ts";
import { failpoint } from "../../host/failpoint.ts";
import {
  isGivenToAnother,
  isTapOpen,
  moreTaps,
  type Tap,
  type TapRefusal,
  tapPool,
  tapRefusal,
} from "../../host/linux/taps.ts";
import { tapNetwork } from "../../network/plan.ts";
import type { VmRecord } from "../../store/vms.ts";
import type { Deadline } from "../../util/deadline.ts";
import type { Home } from "../home.ts";
import { recover } from "../recovery/recover.ts";
import { whileTemplateHasTap } from "./template-taps.ts";

/** The tap of one start, and what its guest is told about it. */
export interface LeasedTap {
  readonly name: string;
  readonly network: GuestNetwork;
}

/** That sandboxes of this user can have a tap. @throws SmolVMError NETWORK_SETUP_MISSING */
export function requireTap(): void {
  const refusal = tapRefusal();
  if (refusal !== undefined) throw setupMissing(refusal);
}

function setupMissing({ reason, hint }: TapRefusal): SmolVMError {
  return new SmolVMError("NETWORK_SETUP_MISSING", `this network needs a tap: ${reason}`, { hint });
}

/**
 * Leases a tap for a sandbox that is being started, if it is to have one. Two sandboxes of this home never get the same
 * one; other homes of this user are seen by what they have opened, and the kernel lets in one of two at a time: who loses takes another.
 * @param lost taps that others have got, although they seemed free
 * @throws SmolVMError NETWORK_SETUP_MISSING, TAP_UNAVAILABLE, TIMEOUT, ABORTED
 */
export async function leaseTap(
  home: Home,
  { id, spec }: VmRecord,
  lost: readonly string[],
  deadline: Deadline,
): Promise<LeasedTap | undefined> {
  if (spec.machine.networkCard !== "tap") return undefined;
  const pool = tapPool();
  if ("reason" in pool) throw setupMissing(pool);
  const taps = pool.taps.filter(({ name }) => !lost.includes(name));
  let tap = leaseFree(home, id, taps);
  if (tap === undefined) {
    await settleHolders(home, id);
    tap = leaseFree(home, id, taps);
  }
  tap ??= await whileTemplateHasTap(home, () => leaseFree(home, id, taps), deadline);
  failpoint("after tap");
  if (tap !== undefined) return { name: tap.name, network: tapNetwork(tap, pool) };
  throw new SmolVMError("TAP_UNAVAILABLE", `all ${pool.taps.length} taps are in use`, {
    hint: moreTaps(),
    details: { taps: pool.taps.length },
  });
}

/**
 * Whether a machine did not start because another home has got its tap between our look at it and the machine's opening it. Root's
 * homes each give it to their machine's uid first: then the loser's is not even permitted to open it.
 * @param uid the machine's own, if it has one
 */
export function lostTap(error: unknown, { name }: LeasedTap, uid: number | undefined): boolean {
  return isSmolVMError(error, "TAP_UNAVAILABLE") || (uid !== undefined && isGivenToAnother(name, uid));
}

/** Any free one, not the first: what was on its way to the last guest of a tap should find nobody, not the next. */
function leaseFree(home: Home, id: string, taps: readonly Tap[]): Tap | undefined {
  const free = taps.filter((tap) => !isTapOpen(tap));
  const start = free.length === 0 ? 0 : randomInt(free.length);
  const order = [...free.slice(start), ...free.slice(0, start)];
  const name = home.store.taps.lease(
    id,
    order.map((tap) => tap.name),
  );
  return order.find((tap) => tap.name === name);
}

/** Sandboxes whose machines died have no tap any more, once somebody looks. */
async function settleHolders(home: Home, id: string): Promise<void> {
  for (const holder of home.store.taps.byVm().keys()) {
    const record = holder === id ? undefined : home.store.vms.find(holder);
    if (record !== undefined) await recover(home, record);
  }
}
