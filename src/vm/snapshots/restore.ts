import { chmodSync } from "node:fs";
import { SmolVMError } from "../../errors.ts";
import { joinLayers } from "../../host/monitor/layers.ts";
import { checkLayers, pathsOf } from "../../snapshots/layers.ts";
import { differences } from "../../snapshots/machine-facts.ts";
import type { SavedMemory } from "../../snapshots/saved.ts";
import type { Snapshot } from "../../snapshots/snapshots.ts";
import type { Deadline } from "../../util/deadline.ts";
import type { Home } from "../home.ts";
import type { OwnOptions } from "../lifecycle/own-options.ts";
import { type Started, startNewVm } from "../lifecycle/start.ts";
import type { VmRef } from "../recovery/deleted.ts";
import { machineFacts } from "../templates/facts.ts";
import { makeFrom } from "./make-from.ts";
import { useSnapshot } from "./use-snapshot.ts";
import { withWorkDir } from "./work.ts";

type RestoredOptions = OwnOptions & { readonly diskOnly?: boolean | undefined };

/**
 * A new sandbox that goes on where a snapshot was taken; of a disk alone, one that boots with it.
 * @throws SmolVMError SNAPSHOT_NOT_FOUND, SNAPSHOT_INVALID, SNAPSHOT_INCOMPATIBLE (details.reasons), VM_NAME_TAKEN, IMAGE_NOT_FOUND, NO_SPACE, and as startVm
 */
export async function restoreSnapshot(
  home: Home,
  name: string,
  vm: VmRef,
  options: RestoredOptions,
  deadline: Deadline,
): Promise<Started> {
  return await useSnapshot(home.paths, name, (snapshot) => goOnFrom(home, snapshot, vm, options, deadline));
}

async function goOnFrom(
  home: Home,
  snapshot: Snapshot,
  vm: VmRef,
  { diskOnly = false, ...own }: RestoredOptions,
  deadline: Deadline,
): Promise<Started> {
  const { layers, own: kept } = checkLayers(home.paths, snapshot);
  const { spec } = snapshot.manifest;
  const source = {
    spec,
    disk: pathsOf(layers, "disk"),
    origin: `snapshot ${snapshot.manifest.name}`,
    layer: snapshot.digest,
  };
  const start = async (saved: SavedMemory | undefined): Promise<Started> => {
    await makeFrom(home, source, vm, own, deadline);
    return await startNewVm(home, vm, deadline, { saved });
  };
  if (diskOnly || kept === undefined) return await start(undefined);
  requireCompatible(home, snapshot);
  const memory = pathsOf(layers, "memory");
  if (memory.length === 1) return await start({ ...kept, memory: memory[0]!.path });
  return await withWorkDir(home, async (work) => {
    await joinLayers(memory, work.memory, deadline);
    chmodSync(work.memory, 0o444); // whatever uid the machine has
    return await start({ ...kept, memory: work.memory });
    // What it maps is its own until it ends, also when its name is gone.
  });
}

/** @throws SmolVMError SNAPSHOT_INCOMPATIBLE */
function requireCompatible(home: Home, { manifest }: Snapshot): void {
  const reasons = whyNot(home, manifest);
  if (reasons.length === 0) return;
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
