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
  tapNamed,
  tapNames,
  tapRefusal,
  tapSettings,
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
  const settings = tapSettings();
  if ("reason" in settings) throw setupMissing(settings);
  const names = tapNames().filter((name) => !lost.includes(name));
  let tap = leaseFree(home, id, names);
  if (tap === undefined) {
    await settleHolders(home, id);
    tap = leaseFree(home, id, names);
  }
  tap ??= await whileTemplateHasTap(home, () => leaseFree(home, id, names), deadline);
  failpoint("after tap");
  if (tap !== undefined) return { name: tap.name, network: tapNetwork(tap, settings) };
  const count = names.filter((name) => tapNamed(name) !== undefined).length + lost.length;
  throw new SmolVMError("TAP_UNAVAILABLE", `all ${count} taps are in use`, {
    hint: moreTaps(),
    details: { taps: count },
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

/**
 * Any free one, not the first: what was on its way to the last guest of a tap should find nobody, not the next. Looked at, in sysfs, is
 * one after the other until one is free.
 */
function leaseFree(home: Home, id: string, names: readonly string[]): Tap | undefined {
  const leases = [...home.store.taps.byVm()].filter(([holder]) => holder !== id);
  const leased = new Set(leases.map(([, name]) => name));
  const start = names.length === 0 ? 0 : randomInt(names.length);
  for (const name of [...names.slice(start), ...names.slice(0, start)]) {
    const tap = leased.has(name) ? undefined : tapNamed(name);
    if (tap === undefined || isTapOpen(tap)) continue;
    if (home.store.taps.lease(id, [name]) !== undefined) return tap;
  }
  return undefined;
}

/** Sandboxes whose machines died have no tap any more, once somebody looks. */
async function settleHolders(home: Home, id: string): Promise<void> {
  for (const holder of home.store.taps.byVm().keys()) {
    const record = holder === id ? undefined : home.store.vms.find(holder);
    if (record !== undefined) await recover(home, record);
  }
}
