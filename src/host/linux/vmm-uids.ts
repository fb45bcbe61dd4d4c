/**
 * The uids of VMMs that have one of their own. Nobody else gives any out from here on: systemd's list of who uses which ends
 * at containers' (https://systemd.io/UIDS-GIDS/). They are parted into ranges, of which a home claims one (store/uid-ranges.ts).
 */
const FIRST_UID = 0x7000_0000;
const UIDS_PER_RANGE = 0x1_0000;
/** How many ranges there are. */
export const UID_RANGES = 0x1000;

/** Some uids in a row. */
export interface UidRange {
  readonly first: number;
  readonly count: number;
}

/** The uids of a range, by its number from 0. Pure. */
export function uidRange(number: number): UidRange {
  return { first: FIRST_UID + number * UIDS_PER_RANGE, count: UIDS_PER_RANGE };
}

/** Where a home looks for a range first: mostly it is free, and then the same again and again. Pure. */
export function preferredRange(homeHash: string): number {
  return Number.parseInt(homeHash, 16) % UID_RANGES;
}

/** Whether a uid is a VMM's own. Pure. */
export function isVmmUid(uid: number): boolean {
  return uid >= FIRST_UID && uid < FIRST_UID + UID_RANGES * UIDS_PER_RANGE;
}

/** Whether a uid is one of a range. Pure. */
export function isInRange(uid: number, { first, count }: UidRange): boolean {
  return uid >= first && uid < first + count;
}
