/**
 * The uids of VMMs that have one of their own. Nobody else gives any out from here on: systemd's list of who uses which ends
 * at containers' (https://systemd.io/UIDS-GIDS/). Which part of them is a home's goes by its name.
 */
const FIRST_UID = 0x7000_0000;
const UIDS_PER_HOME = 0x1_0000;
const HOMES_MASK = 0xfff;

/** The uids of one home's VMMs. Pure. */
export function uidsOfHome(homeHash: string): { readonly first: number; readonly count: number } {
  const part = Number.parseInt(homeHash, 16) & HOMES_MASK;
  return { first: FIRST_UID + part * UIDS_PER_HOME, count: UIDS_PER_HOME };
}

/** Whether a uid is a VMM's own. Pure. */
export function isVmmUid(uid: number): boolean {
  return uid >= FIRST_UID && uid < FIRST_UID + (HOMES_MASK + 1) * UIDS_PER_HOME;
}
