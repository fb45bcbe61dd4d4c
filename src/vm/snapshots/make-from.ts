import { mkdirSync, rmSync } from "node:fs";
import type { Lifetime, VmSpec } from "../../config/spec.ts";
import { failpoint } from "../../host/failpoint.ts";
import { copySparse } from "../../host/monitor/memory.ts";
import { identify } from "../../host/process/process-identity.ts";
import type { VmRecord } from "../../store/vms.ts";
import type { Deadline } from "../../util/deadline.ts";
import { UndoStack } from "../../util/undo-stack.ts";
import { requireFreeRoot, settleHolders } from "../disks/disk-claims.ts";
import { filesOf, type Home } from "../home.ts";
import { requireBootFiles, requireRoom } from "../lifecycle/create.ts";
import type { OwnOptions } from "../lifecycle/own-options.ts";
import type { VmRef } from "../recovery/deleted.ts";

/**
 * Makes a sandbox like one that was saved, with a copy of its disk. It is not started.
 * @param origin what it comes from, in words
 * @throws SmolVMError VM_NAME_TAKEN, IMAGE_NOT_FOUND, DISK_IN_USE, NO_SPACE, HOST_FAILED, TIMEOUT, ABORTED
 */
export async function makeFrom(
  home: Home,
  saved: { readonly spec: VmSpec; readonly disk: string; readonly origin: string },
  { id, name }: VmRef,
  { labels = {}, ttlMs, lifetime }: OwnOptions,
  deadline: Deadline,
): Promise<VmRecord> {
  const files = filesOf(home, id);
  const spec = asOwn(saved.spec, { name, upper: files.upper, lifetime });
  requireRoom(home.paths.dataDir);
  await settleHolders(home, id, spec);
  const undo = new UndoStack();
  try {
    home.store.vms.insert(
      {
        id,
        name,
        spec,
        labels,
        owner: lifetime === "owner" ? identify(process.pid) : undefined,
        expiresAt: ttlMs === undefined ? undefined : Date.now() + ttlMs,
        origin: saved.origin,
      },
      "create:files",
      () => requireFreeRoot(home, spec),
    );
    failpoint("after create:files");
    undo.push("record", () => home.store.vms.remove(id));
    requireBootFiles(spec);
    undo.push("directory", () => rmSync(files.dir, { recursive: true, force: true }));
    mkdirSync(files.dir, { recursive: true, mode: 0o700 });
    await copySparse(saved.disk, files.upper, deadline);
    failpoint("before created");
    home.store.vms.complete(id);
    undo.commit();
    return home.store.vms.get(id);
  } catch (error) {
    await undo.rollback();
    throw error;
  }
}

/** The saved sandbox's spec with the disk and the names of another. Pure. */
function asOwn(
  spec: VmSpec,
  { name, upper, lifetime }: { name: string; upper: string; lifetime: Lifetime },
): VmSpec {
  const disks = spec.machine.disks.map((disk) =>
    disk.serial === "smolvm-upper" ? { ...disk, path: upper } : disk,
  );
  return { ...spec, hostname: name, lifetime, machine: { ...spec.machine, disks } };
}
