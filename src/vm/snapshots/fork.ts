import { chmodSync } from "node:fs";
import { availableParallelism } from "node:os";
import { SmolVMError } from "../../errors.ts";
import type { SavedMemory } from "../../snapshots/saved.ts";
import { STEADY } from "../../store/states.ts";
import type { VmRecord } from "../../store/vms.ts";
import { concurrently } from "../../util/concurrently.ts";
import type { Deadline } from "../../util/deadline.ts";
import type { Home } from "../home.ts";
import { withLock } from "../lifecycle/lock.ts";
import type { OwnOptions } from "../lifecycle/own-options.ts";
import { type Started, startNewVm } from "../lifecycle/start.ts";
import { deletedError, type VmRef } from "../recovery/deleted.ts";
import { captureMachine, hasTapInside } from "./capture.ts";
import { makeFrom } from "./make-from.ts";
import { withWorkDir } from "./work.ts";

/**
 * New sandboxes that go on from where one is now, each on its own; that one goes on as well. All of them share what they do not write. All,
 * or, when one fails, the failure: those that are there already are for the caller to remove.
 * @throws SmolVMError VM_STATE if it does not run, VM_NOT_FOUND, VM_BUSY, NOT_SUPPORTED, and as restoreSnapshot
 */
export async function forkVm(
  home: Home,
  parent: VmRef,
  children: readonly VmRef[],
  own: OwnOptions,
  deadline: Deadline,
): Promise<Started[]> {
  return await withWorkDir(home, async (work) => {
    const { spec, saved } = await withLock(home, parent.id, deadline, async (record) => {
      if (!record) throw deletedError(parent);
      requireUp(record);
      const { state, untranslated } = await captureMachine(home, record, work, deadline);
      const code = untranslated === undefined ? { path: work.code } : { why: untranslated };
      const memory: SavedMemory = {
        memory: work.memory,
        state,
        code,
        withoutSlirp: hasTapInside(record),
      };
      return { spec: record.spec, saved: memory };
    });
    // It is mapped by all of them, whatever uid theirs is.
    for (const path of [work.memory, ...("path" in saved.code ? [saved.code.path] : [])])
      chmodSync(path, 0o444);
    const source = { spec, disk: [{ path: work.disk }], origin: `fork of ${parent.name}` };
    return await concurrently(children.length, availableParallelism(), async (index) => {
      const child = children[index]!;
      await makeFrom(home, source, child, own, deadline);
      return await startNewVm(home, child, deadline, { saved });
    });
    // What they map is theirs until they end, also when its name is gone.
  });
}

function requireUp({ name, state }: VmRecord): void {
  if (STEADY.has(state)) return;
  throw new SmolVMError("VM_STATE", `sandbox '${name}' is ${state}: there is nothing that could go on`, {
    hint: `Start it first: smolvm start ${name}`,
    details: { state },
  });
}
