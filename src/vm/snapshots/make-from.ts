import type { Lifetime, VmSpec } from "../../config/spec.ts";
import { joinLayers, type LayerFile } from "../../host/monitor/layers.ts";
import type { VmRecord } from "../../store/vms.ts";
import type { Deadline } from "../../util/deadline.ts";
import { makeEmpty } from "../../util/make-empty.ts";
import { filesOf, type Home } from "../home.ts";
import { makeRecord } from "../lifecycle/create.ts";
import type { OwnOptions } from "../lifecycle/own-options.ts";
import { shareable } from "../mounts/shareable.ts";
import type { VmRef } from "../recovery/deleted.ts";

/**
 * Makes a sandbox like one that was saved, with a copy of its disk. It is not started.
 * @param saved its spec and its disk, or, where that comes while it is started ({@link copyDisk}), how large it is, in bytes: it is unfinished
 *   then; what it is, in words, and its digest, if it is a snapshot
 * @throws SmolVMError VM_NAME_TAKEN, IMAGE_NOT_FOUND, DISK_IN_USE, NO_SPACE, HOST_FAILED, TIMEOUT, ABORTED
 */
export async function makeFrom(
  home: Home,
  saved: {
    readonly spec: VmSpec;
    readonly disk: readonly LayerFile[] | { readonly bytes: number };
    readonly origin: string;
    readonly layer?: string;
  },
  { id, name }: VmRef,
  { labels, ttlMs, lifetime, mounts }: OwnOptions,
  deadline: Deadline,
): Promise<VmRecord> {
  const files = filesOf(home, id);
  const own = asOwn(saved.spec, { name, upper: files.upper, lifetime });
  const spec = {
    ...own,
    ...(saved.layer === undefined ? {} : { layer: saved.layer }),
    ...(mounts === undefined ? {} : { mounts: mounts.map((mount) => shareable(mount, home.paths)) }),
  };
  const { disk, origin } = saved;
  const unfinished = "bytes" in disk;
  return await makeRecord(home, { id, name, spec, labels, ttlMs, origin, unfinished }, async () => {
    if (unfinished) makeEmpty(files.upper, disk.bytes);
    else await joinLayers(disk, files.upper, deadline);
  });
}

/** Gives one that was made without it its disk. @throws SmolVMError NO_SPACE, HOST_FAILED, TIMEOUT, ABORTED */
export async function copyDisk(home: Home, { id }: VmRef, from: string, deadline: Deadline): Promise<void> {
  await joinLayers([{ path: from }], filesOf(home, id).upper, deadline);
}

/** The saved sandbox's spec with the disk and the names of another. Pure. */
function asOwn(
  spec: VmSpec,
  { name, upper, lifetime }: { name: string; upper: string; lifetime: Lifetime },
): VmSpec {
  const disks = spec.machine.disks.map((disk) =>
    disk.serial === "smolvm-upper" ? { ...disk, path: upper } : disk,
  );
  // What of the host it may have, whoever goes on from it says anew: a saved path is no reason.
  const { mounts: _, ...rest } = spec;
  return { ...rest, hostname: name, lifetime, machine: { ...spec.machine, disks } };
}
