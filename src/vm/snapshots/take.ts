import { readFileSync } from "node:fs";
import { invalidOption } from "../../config/checks.ts";
import { SmolVMError } from "../../errors.ts";
import { hashOf, stampOf } from "../../snapshots/manifest.ts";
import { type SavedFiles, settleFiles } from "../../snapshots/saved.ts";
import {
  DIFFERENCE_FORMAT,
  SNAPSHOT_FORMAT,
  type SnapshotKind,
  type SnapshotManifest,
} from "../../snapshots/snapshot-manifest.ts";
import { requireFreeName, requireSnapshotName, type Snapshot } from "../../snapshots/snapshots.ts";
import { STEADY } from "../../store/states.ts";
import type { VmRecord } from "../../store/vms.ts";
import { type Deadline, limited } from "../../util/deadline.ts";
import type { Home } from "../home.ts";
import { withLock } from "../lifecycle/lock.ts";
import { deletedError, type VmRef } from "../recovery/deleted.ts";
import { machineFacts } from "../templates/facts.ts";
import { type CaptureResult, captureDisk, captureMachine, hasTapInside } from "./capture.ts";
import { keepDifference } from "./difference.ts";
import { withWorkDir } from "./work.ts";

/** @throws SmolVMError CONFIG_INVALID */
export function checkSnapshotOptions(options: object): void {
  limited(options, "kind");
  const { kind = "full" } = options as { kind?: unknown };
  if (kind !== "full" && kind !== "disk") throw invalidOption("kind", kind, "is not one of full, disk");
}

/**
 * Saves a sandbox under a name: all of it, of one moment, or its disk alone. It goes on as before.
 * @throws SmolVMError SNAPSHOT_EXISTS, CONFIG_INVALID (the name), VM_STATE (all of one that is down), VM_NOT_FOUND, VM_BUSY, NOT_SUPPORTED,
 *   VMM_FAILED, HOST_FAILED, NO_SPACE, TIMEOUT, ABORTED, AGENT_LOST
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
    const { record, memory } = await withLock(home, vm.id, deadline, async (record) => {
      if (!record) throw deletedError(vm);
      if (kind === "full") return { record, memory: await takeAll(home, record, work, deadline) };
      await takeDisk(home, record, work, deadline);
      return { record, memory: undefined };
    });
    const difference = await keepDifference(home, work, record.spec.layer, deadline);
    const maps = [
      ...(difference?.disk ? [work.diskMap] : []),
      ...(difference?.memory ? [work.memoryMap] : []),
    ];
    const { untranslated, ...known } = memory ?? {};
    const code = memory !== undefined && untranslated === undefined ? [work.code] : [];
    settleFiles([work.disk, ...(memory === undefined ? [] : [work.memory, work.state]), ...code, ...maps]);
    deadline.check();
    return keep({
      format: difference === undefined ? SNAPSHOT_FORMAT : DIFFERENCE_FORMAT,
      name,
      kind,
      createdAt: Date.now(),
      source: { id: record.id, name: record.name },
      spec: record.spec,
      ...(difference === undefined ? {} : { base: difference.base }),
      disk: stampOf(work.disk),
      ...(difference?.disk ? { diskMapSha256: hashOf(readFileSync(work.diskMap)) } : {}),
      ...(memory === undefined
        ? {}
        : {
            memory: {
              ...(known as Omit<TakenMemory, "untranslated">),
              file: stampOf(work.memory),
              code: untranslated === undefined ? stampOf(work.code) : { why: untranslated },
              ...(difference?.memory ? { mapSha256: hashOf(readFileSync(work.memoryMap)) } : {}),
            },
          }),
    });
  });
}

/** What is known of a memory before its file is as it is kept. */
type TakenMemory = Omit<NonNullable<SnapshotManifest["memory"]>, "file" | "code" | "mapSha256"> &
  Pick<CaptureResult, "untranslated">;

async function takeAll(
  home: Home,
  record: VmRecord,
  work: SavedFiles,
  deadline: Deadline,
): Promise<TakenMemory> {
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
  const { state, stoppedMs, untranslated } = await captureMachine(home, record, work, deadline);
  const withoutSlirp = hasTapInside(record) ? { withoutSlirp: true as const } : {};
  return { stateSha256: hashOf(state), facts, stoppedMs, untranslated, ...withoutSlirp };
}

async function takeDisk(home: Home, record: VmRecord, work: SavedFiles, deadline: Deadline): Promise<void> {
  if (record.spec.diskMode === "shared") {
    throw new SmolVMError("NOT_SUPPORTED", "the sandbox's disk is a file of your own, and not ours to keep", {
      hint: "Copy the file while the sandbox is stopped.",
    });
  }
  await captureDisk(home, record, work, deadline);
}
