import { realpathSync } from "node:fs";
import { SmolVMError } from "../../errors.ts";
import { ensurePrivateDir, homeHash } from "../../host/files/paths.ts";
import { tapsOf } from "../../host/linux/taps.ts";
import { isInRange, preferredRange, UID_RANGES, type UidRange, uidRange } from "../../host/linux/vmm-uids.ts";
import { someProcessHas } from "../../host/process/process-uids.ts";
import { type HomeIdentity, UidRanges } from "../../store/uid-ranges.ts";
import type { Home } from "../home.ts";

/** Root's notes of what its homes share, on this machine and over its boots. */
const REGISTRY = "/var/lib/smolvm";

/**
 * The uids that are this home's alone, claimed when it first needs some. For root: nobody else can use them.
 * @throws SmolVMError HOST_FAILED, NO_SPACE, STORE_INVALID (the notes)
 */
export function claimUids(home: Home): UidRange {
  ensureRegistry();
  const range = withRanges((ranges) =>
    ranges.claim(identityOf(home), {
      count: UID_RANGES,
      preferred: preferredRange(homeHash(home.paths.dataDir)),
      isIdle: (number) => isIdle(uidRange(number)),
    }),
  );
  if (range !== undefined) return uidRange(range);
  throw new SmolVMError("HOST_FAILED", `all ${UID_RANGES} ranges of uids for machines are other homes'`, {
    hint: `Remove homes that are not needed. Which there are: sqlite3 ${REGISTRY}/uids.db 'SELECT path FROM ranges'`,
  });
}

/** The uids of this home, if it has claimed any. For root. */
export function claimedUids(home: Home): UidRange | undefined {
  ensureRegistry();
  const range = withRanges((ranges) => ranges.of(identityOf(home)));
  return range === undefined ? undefined : uidRange(range);
}

/** Images for all users are in there as well, so others may pass through. */
function ensureRegistry(): void {
  ensurePrivateDir(REGISTRY, { keepMode: true });
}

function withRanges<T>(act: (ranges: UidRanges) => T): T {
  const ranges = new UidRanges(REGISTRY);
  try {
    return act(ranges);
  } finally {
    ranges.close();
  }
}

function identityOf({ paths, store }: Home): HomeIdentity {
  return { path: realpathSync.native(paths.dataDir), token: store.uids.homeToken() };
}

function isIdle(range: UidRange): boolean {
  return (
    !someProcessHas((uid) => isInRange(uid, range)) && !tapsOf(0).some(({ uid }) => isInRange(uid, range))
  );
}
