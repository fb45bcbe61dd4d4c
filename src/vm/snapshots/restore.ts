import { SmolVMError } from "../../errors.ts";
import { differences } from "../../snapshots/machine-facts.ts";
import type { SavedMemory } from "../../snapshots/saved.ts";
import { checkSnapshot, findSnapshot, type Snapshot } from "../../snapshots/snapshots.ts";
import type { Deadline } from "../../util/deadline.ts";
import type { Home } from "../home.ts";
import type { OwnOptions } from "../lifecycle/own-options.ts";
import { type Started, startNewVm } from "../lifecycle/start.ts";
import type { VmRef } from "../recovery/deleted.ts";
import { machineFacts } from "../templates/facts.ts";
import { makeFrom } from "./make-from.ts";

/**
 * A new sandbox that goes on where a snapshot was taken; of a disk alone, one that boots with it.
 * @throws SmolVMError SNAPSHOT_NOT_FOUND, SNAPSHOT_INVALID, SNAPSHOT_INCOMPATIBLE (details.reasons), VM_NAME_TAKEN, IMAGE_NOT_FOUND, NO_SPACE, and as startVm
 */
export async function restoreSnapshot(
  home: Home,
  name: string,
  vm: VmRef,
  { diskOnly = false, ...own }: OwnOptions & { readonly diskOnly?: boolean | undefined },
  deadline: Deadline,
): Promise<Started> {
  const snapshot = findSnapshot(home.paths, name);
  const checked = checkSnapshot(snapshot);
  const state = diskOnly ? undefined : checked;
  const saved = state === undefined ? undefined : memoryOf(home, snapshot, state);
  const { spec } = snapshot.manifest;
  const { disk } = snapshot.files;
  await makeFrom(home, { spec, disk, origin: `snapshot ${name}` }, vm, own, deadline);
  return await startNewVm(home, vm, deadline, { saved });
}

/** @throws SmolVMError SNAPSHOT_INCOMPATIBLE */
function memoryOf(home: Home, { manifest, files }: Snapshot, state: Buffer): SavedMemory {
  const reasons = whyNot(home, manifest);
  if (reasons.length === 0) return { memory: files.memory, state };
  throw new SmolVMError(
    "SNAPSHOT_INCOMPATIBLE",
    `the memory of snapshot '${manifest.name}' cannot go on here: ${reasons.join("; ")}`,
    {
      hint: `Start a sandbox with its disk alone: smolvm snapshot restore --disk-only ${manifest.name}`,
      details: { reasons },
    },
  );
}

function whyNot(home: Home, { memory, spec }: Snapshot["manifest"]): string[] {
  if (memory === undefined) return [];
  try {
    return differences(memory.facts, machineFacts(home.paths, spec));
  } catch (error) {
    return [`what it boots from is gone: ${(error as Error).message}`];
  }
}
