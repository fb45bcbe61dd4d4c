import { chmodSync, chownSync, existsSync, statSync } from "node:fs";
import { machineFiles } from "../../backends/machine-files.ts";
import type { MachineSpec, VmmLimits } from "../../config/spec.ts";
import { SmolVMError } from "../../errors.ts";
import { failpoint } from "../../host/failpoint.ts";
import { makeCgroup } from "../../host/linux/cgroup.ts";
import { giveTap } from "../../host/linux/taps.ts";
import type { Enclosure, VmmUser } from "../../isolation/enclosure.ts";
import { limitsFor } from "../../isolation/limits.ts";
import type { EnclosurePlan } from "../../isolation/tier.ts";
import type { VmRecord } from "../../store/vms.ts";
import type { Deadline } from "../../util/deadline.ts";
import { filesOf, type Home } from "../home.ts";
import { cgroupOf, scopeOf } from "./enclosure.ts";
import { claimUids } from "./uid-range.ts";

/** What has been made for one start. */
export interface MadeEnclosure {
  /** to hand to the backend */
  readonly enclosure: Enclosure;
  /** of the cgroup that was made: a scope is still to come */
  readonly limits: VmmLimits | undefined;
}

/**
 * Makes what a plan says: the uid is leased, files are given to it, the cgroup has its limits. Noted in the journal by who
 * calls; takeDownEnclosure (enclosure.ts) is its undoing.
 * @throws SmolVMError HOST_FAILED
 */
export async function makeEnclosure(
  home: Home,
  record: VmRecord,
  plan: EnclosurePlan,
  {
    tap,
    writes,
    deadline,
  }: {
    readonly tap: string | undefined;
    /** a file of ours that its VMM writes besides its disk */
    readonly writes?: string | undefined;
    readonly deadline: Deadline;
  },
): Promise<MadeEnclosure> {
  const { tier, bubblewrap, scopes } = plan;
  const { machine } = record.spec;
  const user = plan.ownUid ? leaseUser(home, record) : undefined;
  failpoint("after uid");
  giveFiles(home, record.id, machine, user, writes);
  if (tap !== undefined && process.getuid?.() === 0) await giveTap(tap, user?.uid ?? 0, deadline);
  failpoint("after tap owner");
  const limits = limitsFor(machine);
  const cgroup = plan.limited ? cgroupOf(home, record.id) : undefined;
  if (cgroup !== undefined) makeCgroup(cgroup, limits);
  failpoint("after cgroup");
  return {
    enclosure: {
      tier,
      ...(bubblewrap === undefined ? {} : { bubblewrap }),
      ...(user === undefined ? {} : { user }),
      ...(cgroup === undefined ? {} : { cgroup }),
      ...(scopes === undefined
        ? {}
        : { scope: { ...scopeOf(home, record), manager: scopes.manager, limits } }),
    },
    limits: cgroup === undefined ? undefined : limits,
  };
}

/** Files that smolvm has made itself: who may read them is for us to say. They lie in directories that nobody else may enter. */
export function isOurs({ paths }: Home, path: string): boolean {
  return [paths.dataDir, paths.cacheDir].some((directory) => path.startsWith(`${directory}/`));
}

function leaseUser(home: Home, record: VmRecord): VmmUser {
  const range = claimUids(home);
  const uid = home.store.uids.lease(record.id, range);
  if (uid !== undefined) return { uid, gid: uid };
  throw new SmolVMError("HOST_FAILED", `all ${range.count} uids of this home are leased`, {
    hint: "Remove sandboxes that are not needed: smolvm ls",
  });
}

/** The disk belongs to whom the VMM is; what all machines share is open for reading to each. */
function giveFiles(
  home: Home,
  id: string,
  machine: MachineSpec,
  user: VmmUser | undefined,
  writes: string | undefined,
): void {
  const own = process.getuid?.();
  if (own !== 0) return; // nobody else can give files away
  const files = filesOf(home, id);
  const { uid, gid } = user ?? { uid: own, gid: process.getgid?.() ?? 0 };
  for (const path of [files.upper, ...(writes === undefined ? [] : [writes])]) {
    if (existsSync(path) && statSync(path).uid !== uid) chownSync(path, uid, gid);
  }
  if (user === undefined) return;
  for (const path of machineFiles(machine, files).readOnly) {
    const { mode } = statSync(path);
    if ((mode & 0o004) === 0 && isOurs(home, path)) chmodSync(path, (mode & 0o777) | 0o004);
  }
}
