import { existsSync, mkdirSync } from "node:fs";
import type { PortForward, VMConfig } from "../../config/options.ts";
import type { VmSpec } from "../../config/spec.ts";
import { SmolVMError } from "../../errors.ts";
import { failpoint } from "../../host/failpoint.ts";
import { diskSpace } from "../../host/files/disk-space.ts";
import type { ForwardRequest } from "../../store/forwards.ts";
import type { VmRecord } from "../../store/vms.ts";
import type { Deadline } from "../../util/deadline.ts";
import { rmSync } from "../../util/files-go.ts";
import { UndoStack } from "../../util/undo-stack.ts";
import { requireFreeRoot, requireUnwritten, settleHolders } from "../disks/disk-claims.ts";
import { diskFullError } from "../disks/disk-full.ts";
import { writeEmptyDisk } from "../disks/own-disk.ts";
import { filesOf, type Home } from "../home.ts";
import { exposedForwards } from "../network/exposed.ts";
import type { VmRef } from "../recovery/deleted.ts";
import { ownerFor } from "./owned.ts";
import { resolveVm } from "./resolve.ts";

/** A sandbox on a machine with less room than this could hardly write a file. */
const MIN_FREE_BYTES = 16 << 20;

/** Who it is to be. */
interface NewVm extends VmRef {
  readonly key?: string | undefined;
  readonly pool?: string | undefined;
  /** it has no disk yet, and is complete when it runs (`unfinished` of a start, which this process begins next) */
  readonly unfinished?: boolean | undefined;
}

/**
 * Makes a sandbox: its record first (what cleaning up goes by), then its disk. It is not started.
 * @throws SmolVMError VM_NAME_TAKEN, IMAGE_NOT_FOUND, BACKEND_UNAVAILABLE, DISK_IN_USE, NO_SPACE, CONFIG_INVALID, PORT_IN_USE
 */
export async function createVm(
  home: Home,
  config: VMConfig,
  { id, name, key, pool, unfinished = false }: NewVm,
  deadline: Deadline,
): Promise<VmRecord> {
  const files = filesOf(home, id);
  await requireUnwritten(home, config);
  const spec = await resolveVm(home, config, { name, files }, deadline);
  deadline.check();
  const { ttlMs, ports = [] } = config;
  // The image's own come first, as in Docker: its sandboxes are found by them.
  const labels = { ...spec.imageSays?.labels, ...config.labels };
  const exposed = exposedForwards(spec, config);
  return await makeRecord(home, { id, name, key, pool, spec, labels, ttlMs, unfinished }, async () => {
    // A sandbox of this process has its ports forwarded by it.
    if (spec.lifetime === "detached") home.store.forwards.add(id, [...ports, ...exposed].map(toForward));
    if (!unfinished) writeEmptyDisk(spec, files);
  });
}

/** A sandbox that is to be made. */
export interface NewSandbox extends Pick<VmRecord, "id" | "name" | "key" | "pool" | "origin" | "spec"> {
  readonly labels?: VmRecord["labels"] | undefined;
  /** in ms */
  readonly ttlMs?: number | undefined;
  /** what `fill` makes is not all: it is locked by this process, and half made, until it runs (`unfinished` of a start) */
  readonly unfinished?: boolean | undefined;
}

/**
 * Makes a sandbox of a spec: its record, its directory, and what `fill` makes; all of it, or nothing.
 * @param fill makes what is in its directory
 * @throws SmolVMError VM_NAME_TAKEN, IMAGE_NOT_FOUND, DISK_IN_USE, NO_SPACE; what `fill` throws
 */
export async function makeRecord(
  home: Home,
  { labels = {}, ttlMs, unfinished = false, ...sandbox }: NewSandbox,
  fill: () => Promise<void>,
): Promise<VmRecord> {
  const { id, spec } = sandbox;
  const { dir } = filesOf(home, id);
  requireRoom(home.paths.dataDir);
  await settleHolders(home, id, spec);
  const undo = new UndoStack();
  try {
    const owner = ownerFor(spec.lifetime);
    const expiresAt = ttlMs === undefined ? undefined : Date.now() + ttlMs;
    home.store.vms.insert({ ...sandbox, labels, owner, expiresAt }, "create:files", () =>
      requireFreeRoot(home, spec),
    );
    failpoint("after create:files");
    undo.push("record", () => home.store.vms.remove(id));
    requireBootFiles(spec);
    undo.push("directory", () => rmSync(dir, { recursive: true, force: true }));
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    await fill();
    failpoint("before created");
    if (!unfinished) home.store.vms.complete(id);
    undo.commit();
    return home.store.vms.get(id);
  } catch (error) {
    await undo.rollback();
    throw error;
  }
}

/**
 * From its record on, what a sandbox boots from is not removed (images/store/prune.ts); until then it may have been.
 * @throws SmolVMError IMAGE_NOT_FOUND
 */
function requireBootFiles({ machine }: VmSpec): void {
  const bases = machine.disks.filter((disk) => disk.readOnly).map((disk) => disk.path);
  for (const path of [machine.kernelPath, machine.initrdPath, ...bases]) {
    if (path === undefined || existsSync(path)) continue;
    throw new SmolVMError("IMAGE_NOT_FOUND", `'${path}' was removed while the sandbox was created`, {
      hint: "Run it again.",
      details: { path },
    });
  }
}

function toForward({ guestPort, hostPort, hostAddress = "127.0.0.1" }: PortForward): ForwardRequest {
  return { guestPort, hostPort, hostAddress };
}

/** @throws SmolVMError NO_SPACE */
function requireRoom(dataDir: string): void {
  const { freeBytes } = diskSpace(dataDir);
  if (freeBytes >= MIN_FREE_BYTES) return;
  throw diskFullError(dataDir, freeBytes, { details: { neededBytes: MIN_FREE_BYTES } });
}
