import { failpoint } from "../../host/failpoint.ts";
import { giveTap, isTapOpen, type Tap, tapNamed, tapsOf } from "../../host/linux/taps.ts";
import { isInRange, isVmmUid } from "../../host/linux/vmm-uids.ts";
import { Deadline } from "../../util/deadline.ts";
import type { Home } from "../home.ts";
import { claimedUids } from "./uid-range.ts";

/** It takes milliseconds. */
const GIVE_MS = 10_000;

/**
 * Makes root's again the tap that a VMM with that uid had: else a later one with the same uid could open it beside its own. For
 * machines that have ended, before their lease does; what cannot be taken back now is found by `gc`.
 * @param name the one that its lease names
 */
export async function takeBackTap(name: string, uid: number): Promise<void> {
  const tap = tapNamed(name, uid);
  if (tap !== undefined) await takeBack(tap);
  failpoint("after tap back");
}

/** The same for taps given to machines of this home that have none any more. Returns their names. */
export async function takeBackStrayTaps(home: Home): Promise<string[]> {
  if (process.getuid?.() !== 0) return []; // those of ordinary users are always theirs
  const given = tapsOf(0).filter(({ uid }) => isVmmUid(uid));
  const own = given.length === 0 ? undefined : claimedUids(home);
  if (own === undefined) return [];
  const leased = new Set(home.store.taps.byVm().values());
  const back: string[] = [];
  for (const tap of given) {
    if (isInRange(tap.uid, own) && !leased.has(tap.name) && (await takeBack(tap))) back.push(tap.name);
  }
  return back;
}

async function takeBack(tap: Tap): Promise<boolean> {
  if (isTapOpen(tap)) return false; // by a home that had seen it free
  try {
    await giveTap(tap.name, 0, Deadline.within(GIVE_MS, "taking back a tap"));
    return true;
  } catch {
    return false;
  }
}
