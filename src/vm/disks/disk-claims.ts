import { statSync } from "node:fs";
import type { VMConfig } from "../../config/options.ts";
import type { DiskSpec, VmSpec } from "../../config/spec.ts";
import { SmolVMError } from "../../errors.ts";
import { MAY_RUN } from "../../store/states.ts";
import type { VmRecord } from "../../store/vms.ts";
import type { Home } from "../home.ts";
import { recover } from "../recovery/recover.ts";
import { userDisks } from "./drives.ts";

/*
 * Who has a disk file of the user's. The records are the claims: a sandbox has its drives while its machine runs, and a
 * root that it writes itself (diskMode "shared") as long as it exists. Any number may have a file read-only, or one of
 * them writable. QEMU locks the files as well: that keeps apart what the store does not know, other homes and programs.
 */

interface Conflict {
  readonly record: VmRecord;
  readonly disk: DiskSpec;
}

/** Brings those in line with the host that seem to have what this sandbox wants: a dead one has nothing. */
export async function settleHolders(home: Home, id: string, spec: VmSpec): Promise<void> {
  await settle(home, id, userDisks(spec));
}

async function settle(home: Home, id: string | undefined, wanted: readonly DiskSpec[]): Promise<void> {
  for (const { record } of conflicts(home, id, wanted)) await recover(home, record);
}

/**
 * Nobody writes to the root file system that a new sandbox is to have. Asked before its content is judged: one that is
 * being written looks broken, and must not be repaired. @throws SmolVMError DISK_IN_USE
 */
export async function requireUnwritten(home: Home, { rootfsPath, diskMode }: VMConfig): Promise<void> {
  if (rootfsPath === undefined) return;
  const wanted: DiskSpec[] = [
    { serial: "smolvm-root", path: rootfsPath, format: "raw", readOnly: diskMode !== "shared" },
  ];
  await settle(home, undefined, wanted);
  refuse(conflicts(home, undefined, wanted));
}

/** For a new sandbox: nobody has the root that it will write. Its drives are asked for when it starts. @throws SmolVMError DISK_IN_USE */
export function requireFreeRoot(home: Home, spec: VmSpec): void {
  refuse(
    conflicts(
      home,
      undefined,
      userDisks(spec).filter(({ serial }) => serial === "smolvm-root"),
    ),
  );
}

/** For a sandbox that starts: nobody has its disks. @throws SmolVMError DISK_IN_USE */
export function requireFreeDisks(home: Home, id: string, spec: VmSpec): void {
  refuse(conflicts(home, id, userDisks(spec)));
}

function refuse([conflict]: readonly Conflict[]): void {
  if (conflict === undefined) return;
  const { record, disk } = conflict;
  const stopped = !MAY_RUN.has(record.state);
  throw new SmolVMError("DISK_IN_USE", `sandbox '${record.name}' has the disk '${disk.path}'`, {
    hint: stopped
      ? `It is that sandbox's root as long as it exists. Remove it (smolvm rm ${record.name}), or use a copy of the file.`
      : `Stop it first: smolvm stop ${record.name}`,
    details: { path: disk.path, sandbox: record.name },
  });
}

function conflicts(home: Home, id: string | undefined, wanted: readonly DiskSpec[]): Conflict[] {
  if (wanted.length === 0) return []; // most sandboxes: nobody else's record is looked at
  const files = wanted.map((disk) => ({ disk, file: fileOf(disk.path) }));
  return home.store.vms
    .list()
    .filter((record) => record.id !== id)
    .flatMap((record) =>
      held(record).flatMap((other) => {
        const file = fileOf(other.path);
        const mine = files.find((one) => one.file === file && !(one.disk.readOnly && other.readOnly));
        return mine === undefined ? [] : [{ record, disk: mine.disk }];
      }),
    );
}

/** The files of the user's that a sandbox has now. */
function held({ state, spec }: VmRecord): DiskSpec[] {
  return userDisks(spec).filter(({ serial }) => serial === "smolvm-root" || MAY_RUN.has(state));
}

/** What names a file whatever its paths are; a file that is gone has only its path. */
function fileOf(path: string): string {
  const stats = statSync(path, { bigint: true, throwIfNoEntry: false });
  return stats === undefined ? path : `${stats.dev}:${stats.ino}`;
}
