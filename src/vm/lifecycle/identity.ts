import { createHash, randomBytes } from "node:crypto";
import { configure, type MachineInfo } from "../../agent/machine.ts";
import type { AgentSession } from "../../agent/session/session.ts";
import type { GuestNetwork } from "../../config/spec.ts";
import type { VmRecord } from "../../store/vms.ts";
import type { Deadline } from "../../util/deadline.ts";
import type { DriveMount } from "../disks/drive-mounts.ts";

/**
 * Gives a guest what makes it this sandbox's: after a boot, in a machine that goes on from captured memory, and again when it is taken from a pool.
 * @throws SmolVMError as configure
 */
export async function giveIdentity(
  session: AgentSession,
  record: VmRecord,
  { network, mounts }: { readonly network: GuestNetwork | undefined; readonly mounts: readonly DriveMount[] },
  deadline: Deadline,
): Promise<MachineInfo> {
  const { spec } = record;
  return await configure(
    session,
    {
      entropy: randomBytes(64),
      clockMs: Date.now(),
      hostname: spec.hostname,
      // The same over all starts of this sandbox, different from every other's.
      machineId: createHash("sha256").update(`smolvm machine ${record.id}`).digest("hex").slice(0, 32),
      network,
      // A disk of the user's own is not ours to grow.
      diskBytes: spec.diskMode === "shared" ? undefined : spec.diskSizeMib * 1024 * 1024,
      generation: randomBytes(16).toString("hex"),
      limits: spec.limits,
      mounts,
      workdir: spec.workdir,
      user: spec.user,
    },
    deadline.limits,
  );
}
