import { chmodSync, statSync } from "node:fs";
import { availableParallelism } from "node:os";
import type { Captured } from "../../backends/backend.ts";
import { BACKEND_FEATURES } from "../../backends/features.ts";
import type { VmSpec } from "../../config/spec.ts";
import { SmolVMError } from "../../errors.ts";
import { hashOf } from "../../snapshots/manifest.ts";
import type { ComingMemory, RestOfSaved, SavedFiles } from "../../snapshots/saved.ts";
import { STEADY } from "../../store/states.ts";
import type { VmRecord } from "../../store/vms.ts";
import { concurrently } from "../../util/concurrently.ts";
import type { Deadline } from "../../util/deadline.ts";
import { makeEmpty } from "../../util/make-empty.ts";
import { filesOf, type Home } from "../home.ts";
import { withLock } from "../lifecycle/lock.ts";
import type { OwnOptions } from "../lifecycle/own-options.ts";
import { type Started, startNewVm } from "../lifecycle/start.ts";
import { deletedError, type VmRef } from "../recovery/deleted.ts";
import { captureMachine, hasTapInside, requireCapturable } from "./capture.ts";
import { copyDisk, makeFrom } from "./make-from.ts";
import { mappedTemplate } from "./mapped-template.ts";
import { withWorkDir } from "./work.ts";

/**
 * What all children together may have of their parent's own pages, and of its VMM's, each by itself, in bytes; beyond that its whole memory is
 * written to a file, which they share.
 */
const GIVEN_MAX_BYTES = 256 << 20;

/** A fork that has begun: what its children can be made and started with, while their parent is still being captured. */
interface Begun {
  readonly spec: VmSpec;
  /** size of the disk */
  readonly diskBytes: number;
  readonly memory: Omit<ComingMemory, "rest">;
}

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
    const begun = Promise.withResolvers<Begun>();
    const disk = Promise.withResolvers<void>();
    const taken = Promise.withResolvers<RestOfSaved>();
    const captured = withLock(home, parent.id, deadline, async (record) => {
      if (!record) throw deletedError(parent);
      requireUp(record);
      requireCapturable(record);
      const start = begin(home, record, work, children.length);
      begun.resolve(start);
      const ownPages = start.memory.memory !== work.memory;
      await captureMachine(home, record, work, deadline, {
        ownPages,
        onStopped: (copied) => disk.resolve(copied),
        onTaken: (result) => taken.resolve(restOf(result, work, ownPages)),
      });
    });
    captured.catch((error) => {
      for (const coming of [begun, disk, taken]) coming.reject(error);
    });
    for (const coming of [disk, taken]) coming.promise.catch(() => {}); // who waits for it is told
    const { spec, diskBytes, memory } = await begun.promise;
    const source = { spec, disk: { bytes: diskBytes }, origin: `fork of ${parent.name}` };
    const started = concurrently(children.length, availableParallelism(), async (index) => {
      const child = children[index]!;
      await makeFrom(home, source, child, own, deadline);
      const copied = disk.promise.then(() => copyDisk(home, child, work.disk, deadline));
      const rest = Promise.all([taken.promise, copied]).then(([saved]) => saved);
      rest.catch(() => {}); // it may fail before anybody waits for it
      return await startNewVm(home, child, deadline, { saved: { ...memory, rest }, unfinished: true });
    });
    const [all] = await Promise.allSettled([started, captured]); // the parent goes on before anything is said of them
    await captured;
    if (all.status === "rejected") throw all.reason;
    return all.value;
    // What they map is theirs until they end, also when its name is gone.
  });
}

/** Makes the files that children are started with before they hold anything. */
function begin(home: Home, record: VmRecord, work: SavedFiles, count: number): Begun {
  const { spec } = record;
  const { givesPages } = BACKEND_FEATURES[spec.machine.backend];
  const base = givesPages ? mappedTemplate(home, record, GIVEN_MAX_BYTES / count) : undefined;
  // Mapped by all of them, whatever uid theirs is; the directory is ours alone.
  if (base === undefined) makeEmpty(work.memory, spec.machine.memSizeMib * 2 ** 20, 0o644);
  makeEmpty(work.code, 0, 0o644);
  return {
    spec,
    diskBytes: statSync(filesOf(home, record.id).upper).size,
    memory: { memory: base ?? work.memory, codePath: work.code, withoutSlirp: hasTapInside(record) },
  };
}

function restOf({ state, untranslated }: Captured, work: SavedFiles, ownPages: boolean): RestOfSaved {
  if (!ownPages) chmodSync(work.memory, 0o444);
  return {
    state,
    code: untranslated.then((why) => {
      if (why !== undefined) return { why };
      chmodSync(work.code, 0o444); // it is there for as long as the capture lasts, which waits for this
      return { path: work.code, wholeFor: hashOf(state) };
    }),
    pages: ownPages ? { file: work.memory, map: work.memoryMap } : undefined,
  };
}

function requireUp({ name, state }: VmRecord): void {
  if (STEADY.has(state)) return;
  throw new SmolVMError("VM_STATE", `sandbox '${name}' is ${state}: there is nothing that could go on`, {
    hint: `Start it first: smolvm start ${name}`,
    details: { state },
  });
}
