import { invalidOption } from "../../config/checks.ts";
import { SmolVMError } from "../../errors.ts";
import { hashOf, stampOf } from "../../snapshots/manifest.ts";
import { type SavedFiles, settleFiles } from "../../snapshots/saved.ts";
import {
  SNAPSHOT_FORMAT,
  type SnapshotKind,
  type SnapshotManifest,
} from "../../snapshots/snapshot-manifest.ts";
import { requireFreeName, requireSnapshotName, type Snapshot } from "../../snapshots/snapshots.ts";
import { STEADY } from "../../store/states.ts";
import type { VmRecord } from "../../store/vms.ts";
import { checkNames } from "../../util/check-names.ts";
import type { Deadline } from "../../util/deadline.ts";
import type { Home } from "../home.ts";
import { withLock } from "../lifecycle/lock.ts";
import { deletedError, type VmRef } from "../recovery/deleted.ts";
import { machineFacts } from "../templates/facts.ts";
import { captureDisk, captureMachine } from "./capture.ts";
import { withWorkDir } from "./work.ts";

/** @throws SmolVMError CONFIG_INVALID */
export function checkSnapshotOptions(options: object): void {
  checkNames(options, ["kind", "timeoutMs", "signal"]);
  const { kind = "full" } = options as { kind?: unknown };
  if (kind !== "full" && kind !== "disk") throw invalidOption("kind", kind, "is not one of full, disk");
}

/**
 * Saves a sandbox under a name: all of it, of one moment, or its disk alone. It goes on as before.
 * @throws SmolVMError SNAPSHOT_EXISTS, CONFIG_INVALID (the name), VM_STATE (all of one that is down), VM_NOT_FOUND, VM_BUSY, NOT_SUPPORTED,
 *   GUEST_FAILED, VMM_FAILED, HOST_FAILED, NO_SPACE, TIMEOUT, ABORTED, AGENT_LOST
 */
export async function takeSnapshot(
  home: Home,
  vm: VmRef,
  { name, kind }: { readonly name: string; readonly kind: SnapshotKind },
  deadline: Deadline,
): Promise<Snapshot> {
  requireSnapshotName(name);
  requireFreeName(home.paths, name);
  return await withWorkDir(home, async (work, keep) => {
    const manifest = await withLock(home, vm.id, deadline, async (record) => {
      if (!record) throw deletedError(vm);
      return kind === "full"
        ? await takeAll(home, record, work, name, deadline)
        : await takeDisk(home, record, work, name, deadline);
    });
    deadline.check();
    return keep(manifest);
  });
}

async function takeAll(
  home: Home,
  record: VmRecord,
  work: SavedFiles,
  name: string,
  deadline: Deadline,
): Promise<SnapshotManifest> {
  if (!STEADY.has(record.state)) {
    throw new SmolVMError(
      "VM_STATE",
      `sandbox '${record.name}' is ${record.state}: it has no memory to save`,
      {
        hint: `Save its disk (--disk-only), or start it first: smolvm start ${record.name}`,
        details: { state: record.state },
      },
    );
  }
  const facts = machineFacts(home.paths, record.spec);
  const { state, stoppedMs } = await captureMachine(home, record, work, deadline);
  settleFiles([work.memory, work.state, work.disk]);
  return {
    ...about(record, name, "full"),
    disk: stampOf(work.disk),
    memory: { file: stampOf(work.memory), stateSha256: hashOf(state), facts, stoppedMs },
  };
}

async function takeDisk(
  home: Home,
  record: VmRecord,
  work: SavedFiles,
  name: string,
  deadline: Deadline,
): Promise<SnapshotManifest> {
  if (record.spec.diskMode === "shared") {
    throw new SmolVMError("NOT_SUPPORTED", "the sandbox's disk is a file of your own, and not ours to keep", {
      hint: "Copy the file while the sandbox is stopped.",
    });
  }
  await captureDisk(home, record, work, deadline);
  settleFiles([work.disk]);
  return { ...about(record, name, "disk"), disk: stampOf(work.disk) };
}

function about(
  { id, name: source, spec }: VmRecord,
  name: string,
  kind: SnapshotKind,
): Omit<SnapshotManifest, "disk" | "memory"> {
  return { format: SNAPSHOT_FORMAT, name, kind, createdAt: Date.now(), source: { id, name: source }, spec };
}
