import { checkMount, guestPlace, type HostMount, MAX_MOUNTS, type MountSpec } from "../../config/mounts.ts";
import { SmolVMError } from "../../errors.ts";
import type { VmRecord } from "../../store/vms.ts";
import type { Deadline } from "../../util/deadline.ts";
import type { Home } from "../home.ts";
import { pausedError } from "../recovery/running.ts";
import { figuresOf, type MountFigures } from "./answer.ts";
import { FileServer } from "./file-server.ts";
import { requireUnmoved, shareable } from "./shareable.ts";

/** A directory or file of the host in a sandbox, as it is now. */
export interface MountInfo extends MountSpec {
  /** the guest has it now; false: the sandbox does not run, or what served it has ended */
  readonly mounted: boolean;
  /** what its server counts; absent where it is not mounted */
  readonly served?: MountFigures | undefined;
}

/** Mounts what a sandbox that was just started is to have, in that order. @throws SmolVMError as {@link addMount} */
export async function mountAll(home: Home, record: VmRecord, deadline: Deadline): Promise<void> {
  const { mounts = [], user } = record.spec;
  if (mounts.length === 0) return;
  for (const mount of mounts) requireUnmoved(mount);
  const server = new FileServer(home, record);
  await server.start(deadline);
  for (const mount of mounts) await server.share(mount, user, deadline);
}

/**
 * Has a sandbox a directory or file of the host, from now on: at once where it runs.
 * @throws SmolVMError CONFIG_INVALID, FILE_NOT_FOUND, MOUNT_FAILED, NOT_SUPPORTED: then nothing is changed
 */
export async function addMount(
  home: Home,
  record: VmRecord,
  mount: HostMount,
  deadline: Deadline,
): Promise<MountInfo> {
  const problem = checkMount(mount);
  if (problem !== undefined) {
    throw new SmolVMError("CONFIG_INVALID", `a mount ${problem}`, {
      hint: 'Write it so: { host: "./src", guest: "/work", mode: "rw" }',
    });
  }
  const spec = shareable(mount, home.paths);
  if (record.state === "paused") throw pausedError(record.name);
  const server = new FileServer(home, record);
  const isThere = ({ guest }: MountSpec): boolean => guest === spec.guest;
  home.store.vms.changeSpec(record.id, (before) => {
    const { mounts = [] } = before;
    const same = mounts.find(isThere);
    if (same !== undefined && same.host !== spec.host) {
      throw new SmolVMError("MOUNT_FAILED", `'${same.host}' is mounted at '${spec.guest}' already`, {
        hint: `Take it away first: smolvm unmount ${record.name} ${spec.guest}`,
      });
    }
    if (mounts.length >= MAX_MOUNTS)
      throw new SmolVMError("MOUNT_FAILED", `the sandbox has ${MAX_MOUNTS} directories of the host already`);
    return { ...before, mounts: [...mounts.filter((one) => !isThere(one)), spec] };
  });
  if (record.state === "running") {
    try {
      await server.start(deadline);
      await server.share(spec, record.spec.user, deadline);
    } catch (error) {
      const before = record.spec.mounts?.find(isThere);
      home.store.vms.changeSpec(record.id, (now) => ({
        ...now,
        mounts: [
          ...(now.mounts ?? []).filter((one) => !isThere(one)),
          ...(before === undefined ? [] : [before]),
        ],
      }));
      throw error;
    }
  }
  return { ...spec, mounted: record.state === "running" };
}

/** Which mount is meant, and how it goes. */
export interface UnmountOptions {
  /** also while something in the guest is open in it: that has errors from then on; default false */
  force?: boolean;
}

/**
 * Takes a directory or file of the host away from a sandbox.
 * @throws SmolVMError MOUNT_NOT_FOUND, VM_BUSY, MOUNT_FAILED: then nothing is changed
 */
export async function removeMount(
  home: Home,
  record: VmRecord,
  guest: string,
  options: UnmountOptions,
  deadline: Deadline,
): Promise<void> {
  const place = guestPlace(guest);
  if (record.state === "paused") throw pausedError(record.name);
  const isThere = (mount: MountSpec): boolean => mount.guest === place;
  if (!(record.spec.mounts ?? []).some(isThere)) {
    throw new SmolVMError(
      "MOUNT_NOT_FOUND",
      `no directory of the host is mounted at '${place}' in sandbox '${record.name}'`,
      {
        hint: `See what is: smolvm mount ${record.name}`,
      },
    );
  }
  if (record.state === "running") {
    const server = new FileServer(home, record);
    const served = await server.list(deadline);
    if (served?.mounts?.some((mount) => mount.guest === place))
      await server.unmount(place, options.force === true, deadline);
  }
  home.store.vms.changeSpec(record.id, (before) => ({
    ...before,
    mounts: (before.mounts ?? []).filter((mount) => !isThere(mount)),
  }));
}

/** The host's directories of a sandbox, and how they are served. */
export async function listMounts(home: Home, record: VmRecord, deadline: Deadline): Promise<MountInfo[]> {
  const { mounts = [] } = record.spec;
  if (mounts.length === 0) return [];
  const served =
    record.state === "running" ? ((await new FileServer(home, record).list(deadline))?.mounts ?? []) : [];
  return mounts.map((mount) => {
    const found = served.find(({ guest }) => guest === mount.guest);
    if (found === undefined) return { ...mount, mounted: false };
    return { ...mount, mounted: true, served: figuresOf(found) };
  });
}
